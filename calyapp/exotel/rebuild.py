"""Folding calls again from the ledger: when we have learnt to read a dialect better, old calls profit too."""

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
class Difference:
    """A call whose row is not what its ledger says: each field as it is and as it should be, numbers masked."""

    client_id: UUID
    call_sid: str
    fields: dict[str, tuple[Any, Any]]


def rebuild(
    pool: Pool, *, client_id: UUID | None = None, since: datetime | None = None, dry_run: bool = False
) -> Iterator[Difference | None]:
    """Each call in turn: None if its row is right, else the difference, mended unless this is a dry run.

    A call is held for its own short transaction only; deliveries that come meanwhile wait for it and join after it.
    """
    after: tuple[UUID, str] | None = None
    while True:
        with pool.connection() as connection:
            page = store.call_keys(connection, client_id, since, after)
        for owner, call_sid in page:
            yield _fold_again(pool, owner, call_sid, dry_run=dry_run)
        if not page:
            return
        after = page[-1]


def _fold_again(pool: Pool, client_id: UUID, call_sid: str, *, dry_run: bool) -> Difference | None:
    with pool.transaction() as connection:
        stored = store.locked_view(connection, client_id, call_sid)
        deliveries = store.ledger(connection, client_id, call_sid)
        folded = reduce(CallView.join, (_view(kept) for kept in deliveries))
        if folded == stored:
            return None
        difference = Difference(client_id, call_sid, _changes(stored, folded))
        if not dry_run:
            store.replace(connection, client_id, call_sid, folded)
            audit_log.append(connection, _entry(difference))
        return difference


def _view(kept: LedgerEntry) -> CallView:
    texts = {name: [text] if isinstance(text, str) else text for name, text in kept.payload.items()}
    pairs = [(name, text) for name, several in texts.items() for text in several]
    arrival = Arrival(at=kept.received_at, audit_id=clock.uuid7(kept.received_at))
    return payload.load(kept.route, pairs, arrival, None).view


def _changes(stored: CallView, folded: CallView) -> dict[str, tuple[Any, Any]]:
    shown = ("status", "outcome", "phase", "evidence", *SOURCED)
    both = {name: (_shown(getattr(stored, name)), _shown(getattr(folded, name))) for name in shown}
    return {name: (before, after) for name, (before, after) in both.items() if before != after}


def _shown(value: Any) -> str | None:
    """With its source, where it has one; numbers masked, for it goes into the trail and onto a screen."""
    if value is None:
        return None
    text = f"{value.value} ({value.source})" if hasattr(value, "source") else str(value)
    return redact.text(text)


def _entry(difference: Difference) -> Entry:
    return Entry.now(
        EventType.DATA_UPDATED,
        "Call folded again from its ledger",
        client_id=difference.client_id,
        resource="call",
        resource_id=difference.call_sid,
        changes={
            "before": {name: before for name, (before, _) in difference.fields.items()},
            "after": {name: after for name, (_, after) in difference.fields.items()},
        },
        metadata={"via": "command line"},
    )
