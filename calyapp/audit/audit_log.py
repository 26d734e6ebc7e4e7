"""Appends entries to the audit log. The database refuses to change or delete them."""

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
from sqlalchemy.dialects import postgresql

from calyapp import clock
from calyapp.audit.events import SEVERITY, EventType
from calyapp.db.engine import Pool
from calyapp.db.queries import named
from calyapp.db.tables import audit_logs
from calyapp.errors import Severity

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # not annotated there
COLUMNS = {column.name: column.type.compile(_DIALECT).lower() for column in audit_logs.columns}
"""The columns of `audit_logs` with their SQL types. The fields of `Entry`, and its parameters, have the same names."""

INSERT = f"INSERT INTO audit_logs ({', '.join(COLUMNS)})"
VALUES = ", ".join(f"CAST(:{name} AS {type_})" for name, type_ in COLUMNS.items())
# Inserting the same entry again, as a replay does, changes nothing.
ONCE = "ON CONFLICT (id, created_at) DO NOTHING"

_actor: ContextVar[str] = ContextVar("actor of the command", default="")
_APPEND = named("append_audit_entry", f"{INSERT} SELECT {VALUES} {ONCE}")


class EntryStatus(StrEnum):
    """How the audited action ended."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the audit log. `changes` holds the values before and after a change by an operator, secrets masked.

    The severity is that of the event type, unless the entry has its own.
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
        """Returns an entry with the current time and a new id."""
        moment = clock.now()
        return cls(id=clock.uuid7(moment), created_at=moment, event_type=event_type, description=description, **rest)

    def parameters(self) -> dict[str, Any]:
        """Returns the values of the columns as the driver accepts them."""
        values = {name: getattr(self, name) for name in COLUMNS}
        values["severity"] = self.severity or SEVERITY[self.event_type]
        values["changes"] = self.changes or None
        return {name: _driver_value(value) for name, value in values.items()}


@contextmanager
def acted_by(actor: str) -> Iterator[None]:
    """Adds `metadata.actor` to every entry that is appended in the block. For the command line."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def append(connection: Connection, entry: Entry) -> None:
    """Appends an entry in the caller's transaction, so that the action and its entry are committed together."""
    if actor := _actor.get():
        entry = replace(entry, metadata={**entry.metadata, "actor": actor})
    connection.execute(_APPEND, entry.parameters())


def write(pool: Pool, *entries: Entry) -> None:
    """Appends entries that belong to no other transaction. Raises `DatabaseAway`."""
    with pool.transaction() as connection:
        for entry in entries:
            append(connection, entry)


def _driver_value(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case StrEnum():
            return value.value
        case Mapping():
            return json.dumps(value)
        case _:
            return value
