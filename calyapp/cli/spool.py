"""`flask caly spool …`: deliveries that wait on this host's disk, and those in quarantine."""

import sys
from typing import Any

import click
from flask.cli import AppGroup

from calyapp import clock
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.calls import frame
from calyapp.calls.frame import UnreadableFrameError
from calyapp.calls.replay import AlreadyReplayingError
from calyapp.cli.command import as_json, services
from calyapp.cli.output import print_record, print_rows
from calyapp.spool.journal import QuarantinedFrame

spool = AppGroup("spool", help="Deliveries that wait on this host's disk for the database.")
quarantine = AppGroup("quarantine", help="Deliveries that the database refused, or that belong to no client.")
spool.add_command(quarantine)
frame_id = click.argument("frame_id", type=int, metavar="ID")


@spool.command()
@as_json
def status(as_json: bool) -> None:
    """Show the number of waiting deliveries and the age of the oldest. Exit code 1 if one is in quarantine."""
    counts = services().journal.status()
    summary = {
        "depth": counts.depth,
        "oldestSeconds": round(counts.oldest_seconds(clock.now()), 1),
        "quarantined": counts.quarantined,
        "bytes": counts.bytes,
    }
    print_record(summary, as_json)
    if counts.quarantined:
        raise SystemExit(1)


@spool.command()
@as_json
def replay(as_json: bool) -> None:
    """Record the waiting deliveries now. Exit code 1 if some still wait afterwards."""
    journal = services().journal
    replayed = 0
    with click.progressbar(length=journal.status().depth, label="deliveries", file=sys.stderr, show_pos=True) as bar:
        try:
            for count in services().replay.run():
                replayed += count
                bar.update(count)
        except AlreadyReplayingError:
            raise click.ClickException("The service is replaying now. See `flask caly spool status`.") from None
    waiting = journal.status().depth
    print_record({"replayed": replayed, "waiting": waiting}, as_json)
    if waiting:
        raise SystemExit(1)


@quarantine.command("list")
@as_json
def list_quarantined(as_json: bool) -> None:
    """List the deliveries in quarantine, with the reason of each."""
    print_rows([_summary(one) for one in services().journal.quarantined()], as_json)


@quarantine.command("show")
@frame_id
@as_json
def show_quarantined(frame_id: int, as_json: bool) -> None:
    """Show one delivery in quarantine with its parameters, which include phone numbers."""
    one = _find(frame_id)
    try:
        event = frame.load(one.content)
    except UnreadableFrameError as error:
        print_record(_summary(one) | {"content": str(error)}, as_json)
        return
    details = {
        "route": event.route.value,
        "callSid": event.call_sid,
        "digest": event.digest.hex(),
        "requestId": event.arrival.request_id,
        "parameters": [f"{name}={text}" for name, text in event.parameters],
    }
    print_record(_summary(one) | details, as_json)


@quarantine.command()
@click.argument("frame_ids", type=int, nargs=-1, metavar="[ID]…")
@click.option("--all", "everything", is_flag=True, help="All deliveries in quarantine.")
@as_json
def retry(frame_ids: tuple[int, ...], everything: bool, as_json: bool) -> None:
    """Replay deliveries in quarantine again, after their cause was corrected."""
    if bool(frame_ids) == everything:
        raise click.UsageError("Give the ids of the deliveries, or --all.")
    journal = services().journal
    chosen = [one.id for one in journal.quarantined()] if everything else frame_ids
    retried = [chosen_id for chosen_id in chosen if journal.retry(chosen_id)]
    if missing := set(chosen) - set(retried):
        raise click.ClickException(f"Not in quarantine: {', '.join(map(str, sorted(missing)))}")
    print_record({"retried": len(retried)}, as_json)


@quarantine.command()
@frame_id
@click.confirmation_option(prompt="The delivery was acknowledged to Exotel. Delete it permanently?")
@as_json
def drop(frame_id: int, as_json: bool) -> None:
    """Delete a delivery in quarantine permanently. An audit entry keeps its reason."""
    one = _find(frame_id)
    entry = Entry.now(
        EventType.DELIVERY_DROPPED,
        "Delivery dropped from quarantine",
        client_id=one.client_id,
        resource="spool",
        resource_id=str(one.id),
        metadata={"reason": one.reason, "arrivedAt": clock.iso(one.arrived_at), "via": "command line"},
    )
    audit_log.write(services().database.records, entry)
    services().journal.drop(frame_id)
    print_record({"dropped": frame_id}, as_json)


def _find(frame_id: int) -> QuarantinedFrame:
    for one in services().journal.quarantined():
        if one.id == frame_id:
            return one
    raise click.ClickException(f"Not in quarantine: {frame_id}")


def _summary(one: QuarantinedFrame) -> dict[str, Any]:
    return {
        "id": one.id,
        "arrivedAt": clock.iso(one.arrived_at),
        "clientId": str(one.client_id) if one.client_id else None,
        "reason": one.reason,
    }
