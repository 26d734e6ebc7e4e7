"""`flask caly secrets …`: what is kept encrypted in the database."""

import sys

import click
from flask.cli import AppGroup

from calyapp.cli.command import as_json, explains_errors, services
from calyapp.cli.output import print_record

secrets = AppGroup("secrets", help="What is kept encrypted in the database, and under which key.")


@secrets.command("status")
@as_json
@explains_errors
def census(as_json: bool) -> None:
    """Show how many secrets there are under which key. Exit code 1 if some are under none that is set."""
    found = services().exotel_accounts.census()
    counts = {"secrets": found.sealed, "underPreviousKey": found.under_previous, "unreadable": found.unreadable}
    print_record(counts, as_json)
    if found.unreadable:
        raise SystemExit(1)


@secrets.command()
@as_json
@explains_errors
def reencrypt(as_json: bool) -> None:
    """Encrypt all secrets anew under ENCRYPTION_KEY. Exit code 1 if some could not be read; they stay as they are."""
    store = services().exotel_accounts
    found = store.census()
    outdated = found.under_previous + found.unreadable
    with click.progressbar(store.reencrypt(), outdated, "secrets", file=sys.stderr, show_pos=True) as clients:
        readable = dict(clients)
    unreadable = [str(client_id) for client_id, done in readable.items() if not done]
    print_record({"reencrypted": len(readable) - len(unreadable), "unreadable": unreadable}, as_json)
    if unreadable:
        raise SystemExit(1)
