"""What the database holds of calls against what it must hold: the join of the deliveries that were acknowledged.

That uses the same `payload` as the server; so a call that was acknowledged whole must end as its flow says, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from calyapp import clock, redact
from calyapp.calls import store
from calyapp.calls.event import Arrival, Route
from calyapp.calls.state import CallView, Source
from calyapp.exotel import payload
from calyapp.simulation.flows import ENDS, Call, Delivery
from calyapp.simulation.simulator import Attempt

CallRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of a call that is not what it must be; telephone numbers masked."""

    call_sid: str
    field: str
    expected: str | None
    found: str | None


def differences(
    played: Iterable[Call], attempts: Sequence[Attempt], rows: Mapping[str, CallRow], now: datetime
) -> list[Difference]:
    """All of them, call by call. `rows` are the calls' rows by CallSid; times of arrival are not compared."""
    acknowledged = [attempt for attempt in attempts if attempt.acknowledged]
    expected = _joined((attempt.delivery for attempt in acknowledged), now)
    arrived = {attempt.delivery for attempt in acknowledged}
    found: list[Difference] = []
    for call in played:
        row = rows.get(call.call_sid)
        found += _of_call(call.call_sid, expected.get(call.call_sid), row)
        found += _of_end(call, row) if row and arrived.issuperset(call.deliveries) else []
    return [*found, *_of_streams(acknowledged, rows)]


def _joined(deliveries: Iterable[Delivery], now: datetime) -> dict[str, CallView]:
    views: dict[str, CallView] = {}
    for delivery in deliveries:
        arrival = Arrival(at=now, audit_id=clock.uuid7(now))
        view = payload.load(delivery.route, delivery.pairs, arrival, None).view
        views[delivery.call_sid] = view.join(views.get(delivery.call_sid, view))
    return views


def _of_call(call_sid: str, expected: CallView | None, row: CallRow | None) -> list[Difference]:
    if expected is None or row is None:
        both = ("a call" if expected else None, "a call" if row else None)
        return [Difference(call_sid, "call", *both)] if both[0] != both[1] else []
    columns = store.columns(expected)
    return [
        Difference(call_sid, name, _shown(value), _shown(row[name]))
        for name, value in columns.items()
        if value != row[name] and not _of_arrival(name, columns, row)
    ]


def _of_end(call: Call, row: CallRow) -> list[Difference]:
    expected, found = " / ".join(ENDS[call.flow]), f"{row['status']} / {row['outcome']}"
    return (
        [Difference(call.call_sid, f"end of a call of kind {call.flow}", expected, found)] if expected != found else []
    )


def _of_arrival(name: str, expected: CallRow, found: CallRow) -> bool:
    """Whether only the server can know the value: the moment at which something came."""
    source = f"{name}_source"
    return source in expected and expected[source] == found[source] == Source.ARRIVAL


def _of_streams(acknowledged: Iterable[Attempt], rows: Mapping[str, CallRow]) -> list[Difference]:
    """Every answer to a start must send the audio to its call's id, to a repeat as well."""
    starts = [attempt for attempt in acknowledged if attempt.delivery.route is Route.CALL_START]
    announced = {(start.delivery.call_sid, start.stream_call_id) for start in starts}
    both = [(sid, str(rows[sid]["id"]), told) for sid, told in announced if sid in rows]
    return [
        Difference(sid, "stream's call id", stored, told)
        for sid, stored, told in sorted(both, key=str)
        if stored != told
    ]


def _shown(value: object) -> str | None:
    return None if value is None else redact.text(str(value))
