"""`flask caly calls …`: reads, rebuilds and imports calls."""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from calyapp.access.principal import COMMAND_LINE
from calyapp.cli.command import as_json, services
from calyapp.cli.output import print_record, print_rows, printable
from calyapp.cli.records import audit_access, client_names, filtered_by, print_page, tenant_of, with_client_name
from calyapp.cli.references import CLIENT
from calyapp.cli.standard_input import read_file
from calyapp.errors import NotFoundError
from calyapp.exotel import cdr, rebuild
from calyapp.exotel.cdr_import import CdrImport, RowResult
from calyapp.web.schemas.record_responses import CallSchema, CallWithTimelineSchema
from calyapp.web.schemas.requests import CallsSchema

calls = AppGroup("calls", help="The record of calls.")


@calls.command("list")
@filtered_by(CallsSchema)
@as_json
def list_calls(filters: dict[str, Any], as_json: bool) -> None:
    """List calls, newest first. With --json as the API returns them."""
    names = client_names()
    print_page(
        "calls.list",
        filters,
        services().call_reader.page,
        CallSchema().dump,
        lambda call: _row(call, names.get(call["clientId"])),
        as_json,
    )


@calls.command("show")
@click.argument("name", metavar="CALL")
@click.option("--client", "client_id", type=CLIENT, help="The client, if several have a call with this CallSid.")
@as_json
def show_call(name: str, client_id: UUID | None, as_json: bool) -> None:
    """Show one call, by id or CallSid, with its timeline of deliveries. Includes phone numbers."""
    call = services().call_reader.find(tenant_of(client_id), name)
    if call is None:
        raise NotFoundError(f"There is no call with the id or CallSid {name!r}; see `flask caly calls list`.")
    audit_access(call.call["client_id"], "calls.show")
    record = CallWithTimelineSchema().dump(call)
    if as_json:
        print_record(record, as_json)
        return
    timeline, is_truncated = record.pop("timeline"), record.pop("timelineTruncated")
    print_record(with_client_name(record), as_json)
    for delivery in timeline:
        click.echo()
        repeats = f", repeated {delivery['repeats']}×" if delivery["repeats"] else ""
        click.echo(f"{delivery['receivedAt']}  {delivery['route']}{repeats}")
        print_record({f"  {printable(name)}": value for name, value in delivery["parameters"].items()}, as_json)
    if is_truncated:
        click.echo(f"\nOnly the first {len(timeline)} deliveries are shown.")


@calls.command("rebuild")
@click.option("--client", "client_id", type=CLIENT, help="Only calls of this client.")
@click.option("--since", type=click.DateTime(), help="Only calls changed since this time (UTC).")
@click.option("--dry-run", is_flag=True, help="Print the changes without making them.")
@as_json
def rebuild_calls(client_id: UUID | None, since: datetime | None, dry_run: bool, as_json: bool) -> None:
    """Compute calls again from their deliveries. Exit code 1 if a dry run finds a difference."""
    moment = since.replace(tzinfo=UTC) if since else None
    rebuilt = rebuild.rebuild(services().database.records, client_id=client_id, since=moment, dry_run=dry_run)
    with click.progressbar(rebuilt, label="calls", file=sys.stderr, show_pos=True) as bar:
        differences = [difference for difference in bar if difference]
    print_rows([_difference(difference) for difference in differences], as_json)
    if dry_run and differences:
        raise SystemExit(1)


@calls.command("import")
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--client", "client_id", type=CLIENT, required=True, help="The client that the calls belong to.")
@as_json
def import_calls(path: Path, client_id: UUID, as_json: bool) -> None:
    """Complete missing or unfinished calls from a CDR export of Exotel. FILE - is standard input.

    Exit code 1 if a row is rejected or was not imported.
    """
    client = services().clients.get(client_id)
    # A copy, because the file is read twice: a pipe cannot be, and a file may change in between.
    with read_file() if path == Path("-") else path.open("rb") as source, TemporaryFile() as file:
        shutil.copyfileobj(source, file)
        checked = cdr.check(file)
        imported = CdrImport(services().recorder, file, checked, client.id, COMMAND_LINE)
        imported.announce(services().database.records, None)
        with click.progressbar(imported.rows(), checked.rows, label="rows", file=sys.stderr, show_pos=True) as rows:
            # Only scripts need the rows that succeeded.
            shown = [one.shown for one in rows if as_json or one.result is RowResult.REJECTED]
    if as_json:
        print_record({"rows": shown, "summary": imported.summary}, as_json)
    else:
        print_rows(shown, as_json)
        print_record(imported.summary, as_json)
    if imported.summary["rejected"] or not imported.summary["complete"]:
        raise SystemExit(1)


def _row(call: dict[str, Any], client: str | None) -> dict[str, Any]:
    return {
        "createdAt": call["createdAt"],
        "callSid": call["callSid"],
        "client": client,
        **{name: call[name] for name in ("from", "to", "direction", "status", "outcome")},
        "seconds": call["durationSeconds"],
        "recording": call["recordingUrl"] is not None,
    }


def _difference(difference: rebuild.CallDifference) -> dict[str, Any]:
    changes = [f"{name}: {before} → {after}" for name, (before, after) in difference.fields.items()]
    return {"clientId": str(difference.client_id), "callSid": difference.call_sid, "changes": changes}
