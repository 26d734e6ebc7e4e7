"""What all commands share: services, common options, error handling, and the name of the operator."""

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click
from flask import current_app
from flask.cli import AppGroup

from calyapp import listen_address
from calyapp.audit import audit_log
from calyapp.backup.client_programs import MaintenanceError
from calyapp.cli import person
from calyapp.cli.parameters import WEB_ADDRESS
from calyapp.config import AppEnv, ConfigurationError
from calyapp.db import connection_errors
from calyapp.errors import AppError, DatabaseError
from calyapp.services import Services
from calyapp.spool.journal import SpoolError

Command = TypeVar("Command", bound=Callable[..., Any])
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
base_url = click.option(
    "--base-url",
    type=WEB_ADDRESS,
    show_default="PUBLIC_URL; in development http://HOST:PORT",
    help="The address under which Exotel reaches this service.",
)
INTERRUPTED = 128 + signal.SIGINT
"""The exit code after Ctrl-C."""


class Commands(AppGroup):
    """The group of all commands. It turns errors into messages, and ends on Ctrl-C without a traceback.

    Audit entries of a command carry the name of the operator who runs it.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Exits with 1 after an error, with 130 after Ctrl-C."""
        try:
            with audit_log.acted_by(person.login_name(os.environ, person.LOGIN_UID)):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            _end_interrupted()
        except click.Abort as abort:  # raised by a prompt: Ctrl-C, end of input, or the answer no
            if isinstance(abort.__context__, KeyboardInterrupt):
                _end_interrupted()
            raise
        except DatabaseError as error:
            raise explained(error) from None
        except AppError as error:
            raise click.ClickException(error.message) from None
        except MaintenanceError as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(error.exit_code) from None
        except (ConfigurationError, SpoolError) as error:
            raise click.ClickException(str(error)) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            prefix = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{prefix}{error.strerror or error}.") from None


def explained(error: DatabaseError, source: str = "DATABASE_URL") -> click.ClickException:
    """Returns the error for the operator. `source` names the setting or option that the database address came from."""
    return click.ClickException(str(connection_errors.explain(error, source)))


def _end_interrupted() -> NoReturn:
    # A second Ctrl-C during the shutdown ends the interpreter at once, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    click.echo(err=True)  # so that the prompt of the shell starts on a new line
    raise SystemExit(INTERRUPTED)


def services() -> Services:
    """Returns the services of this process. Raises `ConfigurationError` if the settings are invalid."""
    parts: Services | ConfigurationError = current_app.extensions["caly"]
    if isinstance(parts, ConfigurationError):
        raise parts
    return parts


def public_url(option: str | None) -> str:
    """Returns the base of printed URLs: --base-url, else PUBLIC_URL, else (not in production) the local address.

    Raises `ConfigurationError` in production without PUBLIC_URL, because Exotel cannot reach a local address.
    """
    settings = services().settings
    if url := option or settings.public_url:
        return url
    if settings.app_env is AppEnv.PRODUCTION:
        raise ConfigurationError(
            "PUBLIC_URL is not set. Set it to the address under which Exotel reaches this service, "
            "such as https://caly.example, or give --base-url."
        )
    return listen_address.from_env(os.environ).url
