"""`flask caly …`: the commands for operators, one file for each group. Exit codes: 0 success, 1 failure, 2 usage."""

import click
from flask import Flask
from flask.cli import with_appcontext

from calyapp.cli.audit import audit
from calyapp.cli.backup import backup, restore
from calyapp.cli.calls import calls
from calyapp.cli.clients import clients
from calyapp.cli.command import Commands
from calyapp.cli.demo import demo
from calyapp.cli.doctor import doctor
from calyapp.cli.keys import keys
from calyapp.cli.partitions import partitions
from calyapp.cli.scan import scan
from calyapp.cli.secrets import secrets
from calyapp.cli.simulate import simulate
from calyapp.cli.spool import spool
from calyapp.cli.tail import tail
from calyapp.cli.users import users
from calyapp.config import ConfigurationError


def install(app: Flask) -> None:
    """Adds the commands to `flask`."""
    caly = Commands("caly", callback=with_appcontext(lambda: None), help="Operate Caly.")
    operations = (spool, partitions, backup, restore, scan, doctor, tail, simulate, demo)
    for command in (clients, users, keys, secrets, calls, audit, *operations):
        caly.add_command(command)
    app.cli.add_command(caly)


def without_settings(error: ConfigurationError) -> Flask:
    """Returns an application that only explains its commands. A command that needs a setting ends with the error.

    Raises the error unless `flask` is looking for a command, because the application would be served otherwise.
    """
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.command, click.Group):
        raise error
    app = Flask("calyapp", static_folder=None)
    app.extensions["caly"] = error
    install(app)
    return app
