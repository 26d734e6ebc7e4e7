"""The SQL of calls: one statement a delivery, which writes ledger, call and audit entry together or not at all.

The statement joins a delivery's view into the call's row by the rules of `state`, generated from the same tables.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.calls.event import CallEvent, Route, payload
from calyapp.calls.join_sql import joined_columns
from calyapp.calls.state import SOURCED, CallView, Evidence, Phase, Source, Sourced
from calyapp.db.queries import named
from calyapp.db.tables import SOURCED as SOURCED_TYPES


@dataclass(frozen=True, slots=True)
class WrittenDelivery:
    """What the statement did: whether the delivery was new, and the call's status now (None without a call).

    `ended` is the call's outcome, or "unknown", where it is by this delivery that it has it.
    """

    is_new: bool
    status: str | None
    ended: str | None = None


def write(connection: Connection, event: CallEvent, client_id: UUID, entry: Entry) -> WrittenDelivery:
    """Put the delivery on record. A repeat counts itself and changes nothing else. One round trip, one commit."""
    if "record_delivery" not in connection.info:
        connection.exec_driver_sql(_PREPARE, execution_options={"name": "prepare_record_delivery"})
        connection.info["record_delivery"] = True
    given = _given(event, client_id) | {f"audit_{name}": value for name, value in entry.parameters().items()}
    row = connection.exec_driver_sql(_EXECUTE, given, execution_options={"name": "record_delivery"}).one()
    if row.status is None and event.call_sid is not None:
        # A repeat that raced its twin: the twin's call was committed after our statement took its snapshot.
        return WrittenDelivery(row.is_new, _status(connection, client_id, event.call_sid))
    return WrittenDelivery(row.is_new, row.status, row.ended if row.ended != row.ended_before else None)


def write_trial(connection: Connection, deliveries: Iterable[tuple[CallEvent, Entry]], client_id: UUID) -> None:
    """Write the deliveries, and check what their commit would check. Raises as `write` does. The caller rolls back."""
    for event, entry in deliveries:
        write(connection, event, client_id, entry)
    connection.execute(_CHECK_DEFERRED)


def owners(connection: Connection, call_sid: str) -> list[UUID]:
    """The clients, two at most, that have a call of this CallSid."""
    rows = connection.execute(_OWNERS, {"call_sid": call_sid})
    return [row.client_id for row in rows]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A delivery as the ledger keeps it."""

    route: Route
    received_at: datetime
    payload: Mapping[str, str | list[str]]


def call_keys(
    connection: Connection, client_id: UUID | None, since: datetime | None, after: tuple[UUID, str] | None
) -> list[tuple[UUID, str]]:
    """A page of calls, by client and CallSid: of one client or all, seen since a moment or ever."""
    after_client, after_sid = after or (UUID(int=0), "")
    given = {"client_id": client_id, "since": since, "after_client": after_client, "after_sid": after_sid}
    return [(row.client_id, row.call_sid) for row in connection.execute(_KEYS, given)]


def locked_view(connection: Connection, client_id: UUID, call_sid: str) -> CallView:
    """What the call's row holds. Until the transaction ends, no delivery changes it."""
    row = connection.execute(_LOCKED, {"client_id": client_id, "call_sid": call_sid}).one()
    known = {name: getattr(row, name) for name in SOURCED}
    sources = {name: getattr(row, f"{name}_source") for name in SOURCED}
    return CallView(
        phase=Phase(row.phase),
        evidence=Evidence(row.evidence),
        **{name: Sourced(Source(source), known[name]) for name, source in sources.items() if source},
    )


def call_rows(connection: Connection, client_id: UUID, call_sids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The rows of those of the client's calls that are on record, by CallSid: each a value for every column."""
    found = connection.execute(_ROWS, {"client_id": client_id, "call_sids": list(call_sids)})
    return {row["call_sid"]: dict(row) for row in found.mappings()}


def ledger(connection: Connection, client_id: UUID, call_sid: str) -> list[LedgerEntry]:
    """The call's deliveries, as they came."""
    rows = connection.execute(_LEDGER, {"client_id": client_id, "call_sid": call_sid})
    return [LedgerEntry(Route(row.route), row.received_at, row.payload) for row in rows]


def replace(connection: Connection, client_id: UUID, call_sid: str, view: CallView) -> None:
    """Put the view in the place of what the call's row holds."""
    connection.execute(_REPLACE, {"client_id": client_id, "call_sid": call_sid, **columns(view)})


def columns(view: CallView) -> dict[str, Any]:
    """The view as columns of a call's row, by name."""
    values: dict[str, Any] = {
        "phase": view.phase.value,
        "evidence": view.evidence.value,
        "status": view.status.value,
        "outcome": view.outcome.value if view.outcome else None,
        "duration_seconds": view.duration_seconds,
    }
    for name in SOURCED:
        known = getattr(view, name)
        values[name] = known.value if known else None
        values[f"{name}_source"] = known.source.value if known else None
    return values


def _status(connection: Connection, client_id: UUID, call_sid: str) -> str | None:
    found: str | None = connection.scalar(_STATUS, {"client_id": client_id, "call_sid": call_sid})
    return found


def _given(event: CallEvent, client_id: UUID) -> dict[str, Any]:
    call_id = event.call_id(client_id)
    values: dict[str, Any] = {
        "client_id": str(client_id),
        "digest": event.digest,
        "call_id": str(call_id) if call_id else None,
        "call_sid": event.call_sid,
        "route": event.route.value,
        "received_at": event.arrival.at,
        "payload": json.dumps(payload(event.parameters)),
    }
    return values | columns(event.view)


# ---- The statement, generated once at import ----

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]  # not annotated there

_TYPES = {
    "client_id": "uuid",
    "digest": "bytea",
    "call_id": "uuid",
    "call_sid": "text",
    "route": "text",
    "received_at": "timestamptz",
    "payload": "jsonb",
    "phase": "text",
    "evidence": "text",
    "status": "text",
    "outcome": "text",
    "duration_seconds": "integer",
}
for _name in SOURCED:
    _TYPES[_name] = SOURCED_TYPES[_name].compile(_POSTGRESQL)
    _TYPES[f"{_name}_source"] = "text"


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)


_OF_DELIVERY = ("client_id", "digest", "call_id", "route", "received_at", "payload")
_OF_CALL = (
    *("client_id", "call_sid", "phase", "evidence", "status", "outcome", "duration_seconds"),
    *(column for name in SOURCED for column in (name, f"{name}_source")),
)

_ENDED = f"CASE WHEN known.phase = '{Phase.OVER}' THEN coalesce(known.outcome, 'unknown') END"
_ENTRY = re.sub(r":(\w+)", r":audit_\1", audit_log.VALUES)
_RECORD = f"""
WITH given AS (
  SELECT {_listed(f"CAST(:{name} AS {type_}) AS {name}" for name, type_ in _TYPES.items())}
), delivery AS (
  INSERT INTO deliveries AS known ({_listed(_OF_DELIVERY)})
  SELECT {_listed(_OF_DELIVERY)} FROM given
  ON CONFLICT (client_id, digest) DO UPDATE SET repeats = known.repeats + 1
  RETURNING repeats = 0 AS is_new
), call AS (
  INSERT INTO calls AS known ({_listed(_OF_CALL)}, id, created_at, updated_at)
  SELECT {_listed(_OF_CALL)}, call_id, received_at, received_at
  FROM given, delivery WHERE is_new AND call_id IS NOT NULL
  ON CONFLICT (client_id, call_sid) DO UPDATE
  SET {_listed(f"{column} = {joined}" for column, joined in joined_columns().items())}
  RETURNING status, {_ENDED} AS ended
), entry AS (
  {audit_log.INSERT} SELECT {_ENTRY}
  FROM delivery WHERE is_new {audit_log.ONCE}
)
SELECT is_new, coalesce(
  (SELECT status FROM call),
  (SELECT calls.status FROM calls JOIN given USING (client_id, call_sid))
) AS status, (SELECT ended FROM call) AS ended, CASE WHEN (SELECT ended FROM call) IS NOT NULL THEN
  (SELECT {_ENDED} FROM calls AS known JOIN given USING (client_id, call_sid))
END AS ended_before FROM delivery
"""  # noqa: S608 — names from this code only; what arrives travels as parameters

_PARAMETERS = list(dict.fromkeys(re.findall(r"(?<!:):(\w+)", _RECORD)))
# PREPARE saves planning a statement of this size anew for every delivery.
_PREPARE = "PREPARE record_delivery AS " + re.sub(
    r"(?<!:):(\w+)", lambda found: f"${_PARAMETERS.index(found[1]) + 1}", _RECORD
)
_EXECUTE = f"EXECUTE record_delivery ({_listed(f'%({name})s' for name in _PARAMETERS)})"

_CHECK_DEFERRED = named("check_deferred_constraints", "SET CONSTRAINTS ALL IMMEDIATE")
_OWNERS = named("find_call_owners", "SELECT client_id FROM calls WHERE call_sid = :call_sid LIMIT 2")
_STATUS = named(
    "read_call_status",
    "SELECT status FROM calls WHERE client_id = :client_id AND call_sid = :call_sid",
)
_KEYS = named(
    "list_call_keys",
    "SELECT client_id, call_sid FROM calls "
    "WHERE (CAST(:client_id AS uuid) IS NULL OR client_id = :client_id) "
    "AND (CAST(:since AS timestamptz) IS NULL OR updated_at >= :since) "
    "AND (client_id, call_sid) > (CAST(:after_client AS uuid), :after_sid) "
    "ORDER BY client_id, call_sid LIMIT 1000",
)
_LOCKED = named(
    "lock_call",
    "SELECT * FROM calls WHERE client_id = :client_id AND call_sid = :call_sid FOR UPDATE",
)
_ROWS = named(
    "read_calls",
    "SELECT * FROM calls WHERE client_id = :client_id AND call_sid = ANY(CAST(:call_sids AS text[]))",
)
_LEDGER = named(
    "read_ledger",
    "SELECT route, received_at, payload FROM deliveries WHERE client_id = :client_id "
    "AND call_id = (SELECT id FROM calls WHERE client_id = :client_id AND call_sid = :call_sid) ORDER BY received_at",
)
_REPLACE = named(
    "replace_call",
    f"UPDATE calls SET {_listed(f'{column} = :{column}' for column in _OF_CALL[2:])}, updated_at = now() "  # noqa: S608 — names from this code only
    "WHERE client_id = :client_id AND call_sid = :call_sid",
)
