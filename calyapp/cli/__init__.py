"""`flask caly …`: the operators' commands, a file for each group. Exit code 0 fine, 1 finding, 2 usage."""

from flask import Flask
from flask.cli import AppGroup

from calyapp.cli.audit import audit
from calyapp.cli.backup import backup, restore
from calyapp.cli.calls import calls
from calyapp.cli.clients import clients
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


def install(app: Flask) -> None:
    """Make the commands known to `flask`."""
    caly = AppGroup("caly", help="Operate Caly.")
    operations = (spool, partitions, backup, restore, scan, doctor, tail, simulate, demo)
    for command in (clients, users, keys, secrets, calls, audit, *operations):
        caly.add_command(command)
    app.cli.add_command(caly)
