"""`flask caly calls …`: the record of calls."""

import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from calyapp.cli.command import as_json, explains_errors, services
from calyapp.cli.output import print_rows
from calyapp.exotel import rebuild

calls = AppGroup("calls", help="The record of calls.")


@calls.command("rebuild")
@click.option("--client", "client_id", type=click.UUID, help="Of this client only.")
@click.option("--since", type=click.DateTime(), help="Changed since this moment (UTC) only.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@as_json
@explains_errors
def rebuild_calls(client_id: UUID | None, since: datetime | None, dry_run: bool, as_json: bool) -> None:
    """Fold calls again from the ledger of their deliveries. Exit code 1 if a dry run finds a difference."""
    moment = since.replace(tzinfo=UTC) if since else None
    folded = rebuild.rebuild(services().database.records, client_id=client_id, since=moment, dry_run=dry_run)
    with click.progressbar(folded, label="calls", file=sys.stderr, show_pos=True) as calls_in_turn:
        differences = [difference for difference in calls_in_turn if difference]
    print_rows([_difference(difference) for difference in differences], as_json)
    if dry_run and differences:
        raise SystemExit(1)


def _difference(difference: rebuild.Difference) -> dict[str, Any]:
    changes = [f"{name}: {before} → {after}" for name, (before, after) in difference.fields.items()]
    return {"clientId": str(difference.client_id), "callSid": difference.call_sid, "changes": changes}
