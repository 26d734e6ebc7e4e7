"""The SQL of calls. One statement for each delivery writes ledger, call and audit entry, all or nothing.

The statement joins the delivery's view into the call's row by the rules of `state`; `join_sql` generates that part.
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
    """What the statement did: whether the delivery was new, and the status of the call now (None without a call).

    `new_outcome` is the outcome of the call if this delivery ended the call or changed its outcome ("unknown" if the
    call ended without one). It is None otherwise.
    """

    is_new: bool
    status: str | None
    new_outcome: str | None = None


def write(connection: Connection, event: CallEvent, client_id: UUID, entry: Entry) -> WrittenDelivery:
    """Records the delivery, in one round trip and one commit. A repeat is counted and changes nothing else."""
    if "record_delivery" not in connection.info:
        connection.exec_driver_sql(_PREPARE, execution_options={"name": "prepare_record_delivery"})
        connection.info["record_delivery"] = True
    parameters = _parameters(event, client_id) | {f"audit_{name}": value for name, value in entry.parameters().items()}
    row = connection.exec_driver_sql(_EXECUTE, parameters, execution_options={"name": "record_delivery"}).one()
    if row.status is None and event.call_sid is not None:
        # A repeat that raced its twin: the twin committed the call after our statement took its snapshot. A new
        # statement has a new snapshot and sees it.
        return WrittenDelivery(row.is_new, _status(connection, client_id, event.call_sid))
    new_outcome = row.outcome if row.outcome != row.previous_outcome else None
    return WrittenDelivery(row.is_new, row.status, new_outcome)


def write_trial(connection: Connection, deliveries: Iterable[tuple[CallEvent, Entry]], client_id: UUID) -> None:
    """Writes the deliveries and runs the checks of a commit, without committing. The caller rolls back.

    Raises what `write` raises.
    """
    for event, entry in deliveries:
        write(connection, event, client_id, entry)
    connection.execute(_CHECK_DEFERRED)


def owners(connection: Connection, call_sid: str) -> list[UUID]:
    """Returns the clients that have a call with this CallSid, at most two."""
    rows = connection.execute(_OWNERS, {"call_sid": call_sid})
    return [row.client_id for row in rows]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A delivery as it is stored in the ledger."""

    route: Route
    received_at: datetime
    payload: Mapping[str, str | list[str]]


def call_keys(
    connection: Connection, client_id: UUID | None, since: datetime | None, after: tuple[UUID, str] | None
) -> list[tuple[UUID, str]]:
    """Returns a page of up to 1000 calls, as client and CallSid, ordered by both.

    Limits: one client, or all; updated since a moment, or ever. `after` is the last key of the previous page.
    """
    after_client, after_sid = after or (UUID(int=0), "")
    parameters = {"client_id": client_id, "since": since, "after_client": after_client, "after_sid": after_sid}
    return [(row.client_id, row.call_sid) for row in connection.execute(_KEYS, parameters)]


def locked_view(connection: Connection, client_id: UUID, call_sid: str) -> CallView:
    """Returns the view that the call's row holds, and locks the row until the transaction ends."""
    row = connection.execute(_LOCKED, {"client_id": client_id, "call_sid": call_sid}).one()
    sources = {name: getattr(row, f"{name}_source") for name in SOURCED}
    return CallView(
        phase=Phase(row.phase),
        evidence=Evidence(row.evidence),
        **{name: Sourced(Source(source), getattr(row, name)) for name, source in sources.items() if source},
    )


def call_rows(connection: Connection, client_id: UUID, call_sids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Returns the rows of those calls of the client that exist, by CallSid, with every column."""
    result = connection.execute(_ROWS, {"client_id": client_id, "call_sids": list(call_sids)})
    return {row["call_sid"]: dict(row) for row in result.mappings()}


def ledger(connection: Connection, client_id: UUID, call_sid: str) -> list[LedgerEntry]:
    """Returns the deliveries of the call, in order of arrival."""
    rows = connection.execute(_LEDGER, {"client_id": client_id, "call_sid": call_sid})
    return [LedgerEntry(Route(row.route), row.received_at, row.payload) for row in rows]


def replace(connection: Connection, client_id: UUID, call_sid: str, view: CallView) -> None:
    """Replaces what the call's row holds with the view."""
    connection.execute(_REPLACE, {"client_id": client_id, "call_sid": call_sid, **columns(view)})


def columns(view: CallView) -> dict[str, Any]:
    """Returns the view as columns of a call's row, by name."""
    values: dict[str, Any] = {
        "phase": view.phase.value,
        "evidence": view.evidence.value,
        "status": view.status.value,
        "outcome": view.outcome.value if view.outcome else None,
        "duration_seconds": view.duration_seconds,
    }
    for name in SOURCED:
        sourced = getattr(view, name)
        values[name] = sourced.value if sourced else None
        values[f"{name}_source"] = sourced.source.value if sourced else None
    return values


def _status(connection: Connection, client_id: UUID, call_sid: str) -> str | None:
    status: str | None = connection.scalar(_STATUS, {"client_id": client_id, "call_sid": call_sid})
    return status


def _parameters(event: CallEvent, client_id: UUID) -> dict[str, Any]:
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
#
# What holds, and why:
#
# - All or nothing: one statement in autocommit is one transaction. There is no moment at which a delivery is in the
#   ledger without its call and its audit entry. A crash, a time-out or a lost connection leaves all three or none, and
#   the same delivery may be sent again.
# - A repeat changes nothing: `delivery` inserts under (client_id, digest), and on conflict only counts. `call` and
#   `entry` read `is_new` from it. Without that condition a repeat would write a second audit entry.
# - Concurrent deliveries of one call do not overwrite each other: ON CONFLICT DO UPDATE locks the call's row and
#   computes the join on its newest committed version, not on the snapshot. A SELECT followed by an UPDATE would lose
#   the view that was committed in between.
# - The final SELECT sees the tables as they were before the statement: PostgreSQL runs all parts of a WITH on one
#   snapshot, and parts see each other only through RETURNING. So `call` gives the status after a new delivery,
#   `calls` the status for a repeat, and the outcome before the statement. When two deliveries end a call at the same
#   time, neither sees the other there, and both report a new outcome: the metric of ended calls may be one too high.
# - Two deliveries cannot deadlock: each statement locks its row of the ledger first, and then at most one call. The
#   order is certain although parts of a WITH have none by themselves, because `call` reads from `delivery`.

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


def _comma_separated(items: Iterable[str]) -> str:
    return ", ".join(items)


_DELIVERY_COLUMNS = ("client_id", "digest", "call_id", "route", "received_at", "payload")
_CALL_COLUMNS = (
    *("client_id", "call_sid", "phase", "evidence", "status", "outcome", "duration_seconds"),
    *(column for name in SOURCED for column in (name, f"{name}_source")),
)

_OUTCOME = f"CASE WHEN stored.phase = '{Phase.OVER}' THEN coalesce(stored.outcome, 'unknown') END"
_ENTRY = re.sub(r":(\w+)", r":audit_\1", audit_log.VALUES)
_RECORD = f"""
WITH parameters AS (
  SELECT {_comma_separated(f"CAST(:{name} AS {type_}) AS {name}" for name, type_ in _TYPES.items())}
), delivery AS (
  INSERT INTO deliveries AS stored ({_comma_separated(_DELIVERY_COLUMNS)})
  SELECT {_comma_separated(_DELIVERY_COLUMNS)} FROM parameters
  ON CONFLICT (client_id, digest) DO UPDATE SET repeats = stored.repeats + 1
  RETURNING repeats = 0 AS is_new
), call AS (
  INSERT INTO calls AS stored ({_comma_separated(_CALL_COLUMNS)}, id, created_at, updated_at)
  SELECT {_comma_separated(_CALL_COLUMNS)}, call_id, received_at, received_at
  FROM parameters, delivery WHERE is_new AND call_id IS NOT NULL
  ON CONFLICT (client_id, call_sid) DO UPDATE
  SET {_comma_separated(f"{column} = {joined}" for column, joined in joined_columns().items())}
  RETURNING status, {_OUTCOME} AS outcome
), entry AS (
  {audit_log.INSERT} SELECT {_ENTRY}
  FROM delivery WHERE is_new {audit_log.ONCE}
)
SELECT is_new, coalesce(
  (SELECT status FROM call),
  (SELECT calls.status FROM calls JOIN parameters USING (client_id, call_sid))
) AS status, (SELECT outcome FROM call) AS outcome, CASE WHEN (SELECT outcome FROM call) IS NOT NULL THEN
  (SELECT {_OUTCOME} FROM calls AS stored JOIN parameters USING (client_id, call_sid))
END AS previous_outcome FROM delivery
"""  # noqa: S608 — constant names only; values are bound as parameters

_PARAMETERS = list(dict.fromkeys(re.findall(r"(?<!:):(\w+)", _RECORD)))
# PREPARE, once for each connection, saves planning a statement of this size for each delivery.
_PREPARE = "PREPARE record_delivery AS " + re.sub(
    r"(?<!:):(\w+)", lambda match: f"${_PARAMETERS.index(match[1]) + 1}", _RECORD
)
_EXECUTE = f"EXECUTE record_delivery ({_comma_separated(f'%({name})s' for name in _PARAMETERS)})"

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
    f"UPDATE calls SET {_comma_separated(f'{name} = :{name}' for name in _CALL_COLUMNS[2:])}, updated_at = now() "  # noqa: S608 — constant names only
    "WHERE client_id = :client_id AND call_sid = :call_sid",
)
