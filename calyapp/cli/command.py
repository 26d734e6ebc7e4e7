"""What commands share: the parts of this process, the common options, and how an error ends them."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click
from flask import current_app

from calyapp.db import connection_errors
from calyapp.db.client_programs import MaintenanceError
from calyapp.errors import AppError, DatabaseError
from calyapp.services import Services
from calyapp.spool.journal import SpoolError

Command = TypeVar("Command", bound=Callable[..., Any])
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
base_url = click.option(
    "--base-url",
    default=lambda: f"http://{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}",
    show_default="http://HOST:PORT",
    help="The address under which Exotel reaches this service.",
)


def services() -> Services:
    """The parts of this process."""
    parts: Services = current_app.extensions["caly"]
    return parts


def explains_errors(command: Command) -> Command:
    """An error of ours ends the command with its sentence and exit code 1, not with a traceback."""

    @wraps(command)
    def explained(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except DatabaseError as error:
            raise click.ClickException(str(connection_errors.explain(error))) from None
        except AppError as error:
            raise click.ClickException(error.message) from None
        except (SpoolError, MaintenanceError) as error:
            raise click.ClickException(str(error)) from None

    return explained  # type: ignore[return-value]  # the same signature, by wraps
