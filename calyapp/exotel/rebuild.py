"""Rebuilds calls from the ledger, so that an improved reading of a dialect also corrects old calls."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any
from uuid import UUID

from calyapp import clock, redact
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.calls import store
from calyapp.calls.event import Arrival
from calyapp.calls.state import SOURCED, CallView
from calyapp.calls.store import LedgerEntry
from calyapp.db.engine import Pool
from calyapp.exotel import payload


@dataclass(frozen=True, slots=True)
class CallDifference:
    """A call whose row differs from its ledger: each field as stored and as rebuilt, telephone numbers masked."""

    client_id: UUID
    call_sid: str
    fields: dict[str, tuple[Any, Any]]


def rebuild(
    pool: Pool, *, client_id: UUID | None = None, since: datetime | None = None, dry_run: bool = False
) -> Iterator[CallDifference | None]:
    """Yields for each call None if its row is right, else the difference, which is corrected except in a dry run.

    Each call is locked for a short transaction of its own. A delivery that arrives meanwhile waits for the lock and
    joins the corrected row. `since` limits this to calls updated since then.
    """
    after: tuple[UUID, str] | None = None
    while True:
        with pool.connection() as connection:
            page = store.call_keys(connection, client_id, since, after)
        for owner, call_sid in page:
            yield _rebuild_call(pool, owner, call_sid, dry_run=dry_run)
        if not page:
            return
        after = page[-1]


def _rebuild_call(pool: Pool, client_id: UUID, call_sid: str, *, dry_run: bool) -> CallDifference | None:
    with pool.transaction() as connection:
        stored = store.locked_view(connection, client_id, call_sid)
        ledger = store.ledger(connection, client_id, call_sid)
        rebuilt = reduce(CallView.join, map(_view, ledger))
        if rebuilt == stored:
            return None
        difference = CallDifference(client_id, call_sid, _changes(stored, rebuilt))
        if not dry_run:
            store.replace(connection, client_id, call_sid, rebuilt)
            audit_log.append(connection, _entry(difference))
        return difference


def _view(entry: LedgerEntry) -> CallView:
    lists = {name: [texts] if isinstance(texts, str) else texts for name, texts in entry.payload.items()}
    pairs = [(name, text) for name, texts in lists.items() for text in texts]
    arrival = Arrival(at=entry.received_at, audit_id=clock.uuid7(entry.received_at))
    return payload.load(entry.route, pairs, arrival, None).view


def _changes(stored: CallView, rebuilt: CallView) -> dict[str, tuple[Any, Any]]:
    names = ("status", "outcome", "phase", "evidence", *SOURCED)
    values = {name: (_masked(getattr(stored, name)), _masked(getattr(rebuilt, name))) for name in names}
    return {name: (before, after) for name, (before, after) in values.items() if before != after}


def _masked(value: Any) -> str | None:
    """Returns the value, with its source if it has one. Numbers are masked, for the audit log and for terminals."""
    if value is None:
        return None
    text = f"{value.value} ({value.source})" if hasattr(value, "source") else str(value)
    return redact.text(text)


def _entry(difference: CallDifference) -> Entry:
    return Entry.now(
        EventType.DATA_UPDATED,
        "Call rebuilt again from its ledger",
        client_id=difference.client_id,
        resource="call",
        resource_id=difference.call_sid,
        changes={
            "before": {name: before for name, (before, _) in difference.fields.items()},
            "after": {name: after for name, (_, after) in difference.fields.items()},
        },
        metadata={"via": "command line"},
    )
