from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from calyapp.calls import arrival_time
from calyapp.calls.event import Arrival, CallEvent, Route
from calyapp.calls.state import CallView, Source, Sourced

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def event_at(arrival: datetime, **values: Sourced) -> CallEvent:
    return CallEvent(
        route=Route.CALL_START,
        parameters=[],
        digest=b"\1" * 32,
        arrival=Arrival(at=arrival, audit_id=uuid4(), request_id="1700000000000-abcdefghi"),
        client_id=uuid4(),
        call_sid="sid-1",
        view=CallView(**values),
    )


class TestFixArrivalTime:
    @pytest.mark.parametrize("age", [timedelta(minutes=-4), timedelta(0), timedelta(hours=5), timedelta(days=30)])
    def test_keeps_a_plausible_arrival(self, age):
        event = event_at(NOW - age, start_ts=Sourced(Source.ARRIVAL, NOW - age))

        assert arrival_time.fix_arrival_time(event, NOW) is event

    @pytest.mark.parametrize("arrival", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)])
    def test_replaces_an_implausible_arrival_by_the_present(self, arrival):
        event = event_at(arrival, start_ts=Sourced(Source.ARRIVAL, arrival))

        fixed = arrival_time.fix_arrival_time(event, NOW)

        assert (fixed.arrival.at, fixed.view.start_ts.value) == (NOW, NOW)
        assert (fixed.arrival.audit_id, fixed.digest) == (event.arrival.audit_id, event.digest)

    def test_keeps_a_time_from_exotel(self):
        start = Sourced(Source.STATUS_CALLBACK, NOW - timedelta(minutes=2))

        fixed = arrival_time.fix_arrival_time(event_at(datetime(1970, 1, 1, tzinfo=UTC), start_ts=start), NOW)

        assert fixed.view.start_ts == start
