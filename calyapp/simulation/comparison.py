"""Compares the stored calls with the deliveries that the server acknowledged.

A call must be the join of its acknowledged deliveries. `payload` computes that join here as it does in the server, and
would hide its own errors. So a call whose deliveries were all acknowledged must also end as its scenario says.
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
from calyapp.simulation.scenarios import EXPECTED_END, Call, Delivery
from calyapp.simulation.simulator import Attempt

CallRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of a call that differs from what was acknowledged. Telephone numbers are masked."""

    call_sid: str
    field: str
    expected: str | None
    stored: str | None


def differences(
    calls: Iterable[Call], attempts: Sequence[Attempt], rows: Mapping[str, CallRow], now: datetime
) -> list[Difference]:
    """Returns all differences, call by call. `rows` holds the stored calls by CallSid.

    Times that come from the arrival of a delivery are not compared, because only the server knows them.
    """
    acknowledged = [attempt for attempt in attempts if attempt.acknowledged]
    views = _joined_views((attempt.delivery for attempt in acknowledged), now)
    delivered = {attempt.delivery for attempt in acknowledged}
    result: list[Difference] = []
    for call in calls:
        row = rows.get(call.call_sid)
        result += _field_differences(call.call_sid, views.get(call.call_sid), row)
        result += _end_differences(call, row) if row and delivered.issuperset(call.deliveries) else []
    return [*result, *_stream_differences(acknowledged, rows)]


def _joined_views(deliveries: Iterable[Delivery], now: datetime) -> dict[str, CallView]:
    views: dict[str, CallView] = {}
    for delivery in deliveries:
        arrival = Arrival(at=now, audit_id=clock.uuid7(now))
        view = payload.load(delivery.route, delivery.pairs, arrival, None).view
        views[delivery.call_sid] = view.join(views.get(delivery.call_sid, view))
    return views


def _field_differences(call_sid: str, expected: CallView | None, row: CallRow | None) -> list[Difference]:
    if expected is None or row is None:
        texts = ("a call" if expected else None, "a call" if row else None)
        return [Difference(call_sid, "call", *texts)] if texts[0] != texts[1] else []
    columns = store.columns(expected)
    return [
        Difference(call_sid, name, _masked(value), _masked(row[name]))
        for name, value in columns.items()
        if value != row[name] and not _both_from_arrival(name, columns, row)
    ]


def _end_differences(call: Call, row: CallRow) -> list[Difference]:
    expected, stored = " / ".join(EXPECTED_END[call.scenario]), f"{row['status']} / {row['outcome']}"
    field = f"end of a call of kind {call.scenario}"
    return [Difference(call.call_sid, field, expected, stored)] if expected != stored else []


def _both_from_arrival(name: str, expected: CallRow, stored: CallRow) -> bool:
    """Whether both values are times of arrival."""
    source = f"{name}_source"
    return source in expected and expected[source] == stored[source] == Source.ARRIVAL


def _stream_differences(acknowledged: Iterable[Attempt], rows: Mapping[str, CallRow]) -> list[Difference]:
    """Every answer to a `call-start`, repeated ones included, must name the id of the stored call in its stream URL."""
    starts = [attempt for attempt in acknowledged if attempt.delivery.route is Route.CALL_START]
    answered = {(start.delivery.call_sid, start.stream_call_id) for start in starts}
    pairs = [(sid, str(rows[sid]["id"]), call_id) for sid, call_id in answered if sid in rows]
    return [
        Difference(sid, "stream's call id", stored, call_id)
        for sid, stored, call_id in sorted(pairs, key=str)
        if stored != call_id
    ]


def _masked(value: object) -> str | None:
    return None if value is None else redact.text(str(value))
