"""The SQL of calls: one statement a delivery, which writes ledger, call and audit entry together or not at all.

The statement joins a delivery's view into the call's row by the rules of `state`, generated from the same tables.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql

from calyapp.audit import trail
from calyapp.audit.trail import Entry
from calyapp.calls.event import CallEvent, payload
from calyapp.calls.state import ENDINGS, LEAST_WINS, SOURCED, Evidence, Phase, Source
from calyapp.db.tables import SOURCED as SOURCED_TYPES


@dataclass(frozen=True, slots=True)
class Written:
    """What the statement did: whether the delivery was new, and the call's status now (None without a call)."""

    is_new: bool
    status: str | None


def write(connection: Connection, event: CallEvent, client_id: UUID, entry: Entry) -> Written:
    """Put the delivery on record. A repeat counts itself and changes nothing else. One round trip, one commit."""
    if "record_delivery" not in connection.info:
        connection.exec_driver_sql(_PREPARE, execution_options={"name": "prepare_record_delivery"})
        connection.info["record_delivery"] = True
    given = _given(event, client_id) | {f"audit_{name}": value for name, value in entry.parameters().items()}
    row = connection.exec_driver_sql(_EXECUTE, given, execution_options={"name": "record_delivery"}).one()
    if row.status is None and event.call_sid is not None:
        # A repeat that raced its twin: the twin's call was committed after our statement took its snapshot.
        return Written(row.is_new, _status(connection, client_id, event.call_sid))
    return Written(row.is_new, row.status)


def owners(connection: Connection, call_sid: str) -> list[UUID]:
    """The clients, two at most, that have a call of this CallSid."""
    rows = connection.execute(_OWNERS, {"call_sid": call_sid})
    return [row.client_id for row in rows]


def _status(connection: Connection, client_id: UUID, call_sid: str) -> str | None:
    found: str | None = connection.scalar(_STATUS, {"client_id": client_id, "call_sid": call_sid})
    return found


def _given(event: CallEvent, client_id: UUID) -> dict[str, Any]:
    view = event.view
    call_id = event.call_id(client_id)
    values: dict[str, Any] = {
        "client_id": str(client_id),
        "digest": event.digest,
        "call_id": str(call_id) if call_id else None,
        "call_sid": event.call_sid,
        "route": event.route.value,
        "received_at": event.arrival.at,
        "payload": json.dumps(payload(event.parameters)),
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


def _rank(words: type[StrEnum], column: str) -> str:
    listed = ", ".join(f"'{word}'" for word in words)
    return f"array_position(ARRAY[{listed}], {column})"


def _greater(words: type[StrEnum], column: str) -> str:
    mine, theirs = _rank(words, f"EXCLUDED.{column}"), _rank(words, f"known.{column}")
    return f"CASE WHEN {mine} > {theirs} THEN EXCLUDED.{column} ELSE known.{column} END"


def _ending(phase: str, evidence: str, position: int) -> str:
    """Status (position 0) or outcome (1) as a function of phase and evidence."""
    endings = " ".join(f"WHEN '{word}' THEN {_literal(ending[position])}" for word, ending in ENDINGS.items())
    while_open = phase if position == 0 else "NULL"
    return f"CASE WHEN {phase} = '{Phase.OVER}' THEN CASE {evidence} {endings} END ELSE {while_open} END"


def _literal(word: StrEnum | None) -> str:
    return f"'{word}'" if word else "NULL"


def _theirs_is_better(name: str) -> str:
    mine, theirs = f"known.{name}", f"EXCLUDED.{name}"
    my_rank, their_rank = _rank(Source, f"{mine}_source"), _rank(Source, f"{theirs}_source")
    # Texts in code-point order, whatever the database's collation.
    order = ' COLLATE "C"' if _TYPES[name] == "TEXT" else ""
    wins = f"{theirs}{order} {'<' if name in LEAST_WINS else '>'} {mine}{order}"
    return (
        f"({mine} IS NULL AND {theirs} IS NOT NULL OR {their_rank} > {my_rank} OR {their_rank} = {my_rank} AND {wins})"
    )


def _joined(name: str, column: str) -> str:
    return f"CASE WHEN {_theirs_is_better(name)} THEN EXCLUDED.{column} ELSE known.{column} END"


def _join() -> dict[str, str]:
    """Every column of a call's row as the join of what is known with what the delivery says."""
    phase, evidence = _greater(Phase, "phase"), _greater(Evidence, "evidence")
    sourced = {name: _joined(name, name) for name in SOURCED}
    return {
        "phase": phase,
        "evidence": evidence,
        "status": _ending(f"({phase})", f"({evidence})", 0),
        "outcome": _ending(f"({phase})", f"({evidence})", 1),
        "duration_seconds": f"coalesce({sourced['talk_seconds']}, {sourced['call_seconds']})",
        **sourced,
        **{f"{name}_source": _joined(name, f"{name}_source") for name in SOURCED},
        "updated_at": "greatest(known.updated_at, EXCLUDED.updated_at)",
    }


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)


_OF_DELIVERY = ("client_id", "digest", "call_id", "route", "received_at", "payload")
_OF_CALL = (
    *("client_id", "call_sid", "phase", "evidence", "status", "outcome", "duration_seconds"),
    *(column for name in SOURCED for column in (name, f"{name}_source")),
)

_ENTRY = re.sub(r":(\w+)", r":audit_\1", trail.VALUES)
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
  SET {_listed(f"{column} = {joined}" for column, joined in _join().items())}
  RETURNING status
), entry AS (
  {trail.INSERT} SELECT {_ENTRY}
  FROM delivery WHERE is_new {trail.ONCE}
)
SELECT is_new, coalesce(
  (SELECT status FROM call),
  (SELECT calls.status FROM calls JOIN given USING (client_id, call_sid))
) AS status FROM delivery
"""  # nosec B608 # names from this code only; what arrives travels as parameters

_PARAMETERS = list(dict.fromkeys(re.findall(r"(?<!:):(\w+)", _RECORD)))
# PREPARE saves planning a statement of this size anew for every delivery.
_PREPARE = "PREPARE record_delivery AS " + re.sub(
    r"(?<!:):(\w+)", lambda found: f"${_PARAMETERS.index(found[1]) + 1}", _RECORD
)
_EXECUTE = f"EXECUTE record_delivery ({_listed(f'%({name})s' for name in _PARAMETERS)})"

_OWNERS = text("SELECT client_id FROM calls WHERE call_sid = :call_sid LIMIT 2").execution_options(
    name="find_call_owners"
)
_STATUS = text("SELECT status FROM calls WHERE client_id = :client_id AND call_sid = :call_sid").execution_options(
    name="read_call_status"
)
