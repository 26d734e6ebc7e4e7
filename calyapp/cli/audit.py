"""`flask caly audit …`: reads the audit log."""

from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from calyapp.cli.command import as_json, services
from calyapp.cli.output import print_record
from calyapp.cli.records import audit_access, client_names, filtered_by, print_page, with_client_name
from calyapp.db import tenancy
from calyapp.errors import NotFoundError
from calyapp.web.schemas.record_responses import EventSchema
from calyapp.web.schemas.requests import EventsSchema

audit = AppGroup("audit", help="The audit log: what happened, and who did it.")


@audit.command("list")
@filtered_by(EventsSchema)
@as_json
def list_events(filters: dict[str, Any], as_json: bool) -> None:
    """List audit entries, newest first. With --json as the API returns them.

    The column `count` is the number of occurrences that the entry stands for.
    """
    names = client_names()
    print_page(
        "audit.list",
        filters,
        services().event_reader.page,
        EventSchema().dump,
        lambda event: _row(event, names),
        as_json,
    )


@audit.command("show")
@click.argument("event_id", metavar="ID", type=click.UUID)
@as_json
def show_event(event_id: UUID, as_json: bool) -> None:
    """Show one audit entry."""
    event = services().event_reader.find(tenancy.ALL, event_id)
    if event is None:
        raise NotFoundError(f"There is no audit entry {event_id}; see `flask caly audit list`.")
    audit_access(event["client_id"], "audit.show")
    record = EventSchema().dump(event)
    print_record(record if as_json else with_client_name(record), as_json)


def _row(event: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {
        **{name: event[name] for name in ("createdAt", "eventType", "severity", "status")},
        "count": (event["metadata"] or {}).get("count", 1),
        "client": names.get(event["clientId"]),
        "description": event["description"],
        "id": event["id"],
    }
