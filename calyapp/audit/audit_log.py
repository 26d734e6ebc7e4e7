"""Writing the trail: entries are appended, never changed (the database refuses it)."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self
from uuid import UUID

from sqlalchemy import Connection

from calyapp import clock
from calyapp.audit.events import SEVERITY, EventType
from calyapp.db.engine import Pool
from calyapp.db.queries import named
from calyapp.errors import Severity

COLUMNS = {
    "id": "uuid",
    "created_at": "timestamptz",
    "event_type": "text",
    "severity": "text",
    "status": "text",
    "client_id": "uuid",
    "call_id": "uuid",
    "user_id": "uuid",
    "description": "text",
    "resource": "text",
    "resource_id": "text",
    "changes": "jsonb",
    "ip_address": "inet",
    "user_agent": "text",
    "request_id": "text",
    "metadata": "jsonb",
}
"""Of `audit_logs`, each with its type: an entry's parameters are named after them."""

INSERT = f"INSERT INTO audit_logs ({', '.join(COLUMNS)})"
VALUES = ", ".join(f"CAST(:{name} AS {type_})" for name, type_ in COLUMNS.items())
# A second insert of the same entry (a replay) does nothing.
ONCE = "ON CONFLICT (id, created_at) DO NOTHING"

_actor: ContextVar[str] = ContextVar("the person who runs the command", default="")
_APPEND = named("append_audit_entry", f"{INSERT} SELECT {VALUES} {ONCE}")


class EntryStatus(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the trail. `changes` holds what operators changed, before and after, secrets masked.

    The severity is that of the type, unless the entry has one of its own.
    """

    id: UUID
    created_at: datetime
    event_type: EventType
    description: str
    severity: Severity | None = None
    status: Literal["success", "failure"] = "success"
    client_id: UUID | None = None
    call_id: UUID | None = None
    user_id: UUID | None = None
    resource: str | None = None
    resource_id: str | None = None
    changes: Mapping[str, Any] | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def now(cls, event_type: EventType, description: str, **rest: Any) -> Self:
        """An entry minted at this moment."""
        moment = clock.now()
        return cls(id=clock.uuid7(moment), created_at=moment, event_type=event_type, description=description, **rest)

    def parameters(self) -> dict[str, Any]:
        """Its columns as the driver takes them."""
        return {
            "id": str(self.id),
            "created_at": self.created_at,
            "event_type": self.event_type.value,
            "severity": (self.severity or SEVERITY[self.event_type]).value,
            "status": self.status,
            "client_id": _text(self.client_id),
            "call_id": _text(self.call_id),
            "user_id": _text(self.user_id),
            "description": self.description,
            "resource": self.resource,
            "resource_id": self.resource_id,
            "changes": json.dumps(self.changes) if self.changes else None,
            "ip_address": self.ip_address,
            "user_agent": self.user_agent,
            "request_id": self.request_id,
            "metadata": json.dumps(self.metadata),
        }


@contextmanager
def acted_by(actor: str) -> Iterator[None]:
    """Give this name to every entry that is appended in the block, as `metadata.actor`. For the command line."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def append(connection: Connection, entry: Entry) -> None:
    """Add the entry, in the caller's transaction: what happened and its record commit together."""
    if actor := _actor.get():
        entry = replace(entry, metadata={**entry.metadata, "actor": actor})
    connection.execute(_APPEND, entry.parameters())


def write(pool: Pool, *entries: Entry) -> None:
    """Add entries about what is no transaction's matter. Raises `DatabaseAway`."""
    with pool.transaction() as connection:
        for entry in entries:
            append(connection, entry)


def _text(identifier: UUID | None) -> str | None:
    return str(identifier) if identifier else None
