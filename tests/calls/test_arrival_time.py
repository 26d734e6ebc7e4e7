from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from calyapp.calls import arrival_time
from calyapp.calls.event import Arrival, CallEvent, Route
from calyapp.calls.state import CallView, Source, Sourced

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def arrived(at: datetime, **view: Sourced) -> CallEvent:
    arrival = Arrival(at=at, audit_id=uuid4(), request_id="1700000000000-abcdefghi")
    known = {"parameters": [], "digest": b"\1" * 32, "client_id": uuid4(), "call_sid": "sid-1"}
    return CallEvent(route=Route.CALL_START, arrival=arrival, view=CallView(**view), **known)


@pytest.mark.parametrize("age", [timedelta(minutes=-4), timedelta(0), timedelta(hours=5), timedelta(days=30)])
def test_a_plausible_arrival_is_left_alone(age):
    event = arrived(NOW - age, start_ts=Sourced(Source.ARRIVAL, NOW - age))

    assert arrival_time.fix_arrival_time(event, NOW) is event


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)])
def test_an_impossible_arrival_becomes_the_present(at):
    event = arrived(at, start_ts=Sourced(Source.ARRIVAL, at))

    mended = arrival_time.fix_arrival_time(event, NOW)

    assert (mended.arrival.at, mended.view.start_ts.value) == (NOW, NOW)
    assert (mended.arrival.audit_id, mended.digest) == (event.arrival.audit_id, event.digest)


def test_a_time_that_exotel_told_is_left_as_it_is():
    told = Sourced(Source.STATUS_CALLBACK, NOW - timedelta(minutes=2))

    mended = arrival_time.fix_arrival_time(arrived(datetime(1970, 1, 1, tzinfo=UTC), start_ts=told), NOW)

    assert mended.view.start_ts == told
