from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from calyapp import clock
from calyapp.calls import store
from calyapp.calls.event import Arrival, Route
from calyapp.exotel import payload
from calyapp.simulation.comparison import Difference, differences
from calyapp.simulation.flows import Call, Delivery, Flow
from calyapp.simulation.simulator import Attempt

NOW = datetime(2026, 7, 31, 12, 0, tzinfo=UTC)
ID = UUID(int=9)
START = {"From": "09876543210", "To": "08047112345"}


def attempt(route: Route, fields: dict[str, str], status: int | None = 200, stream: UUID | None = None) -> Attempt:
    delivery = Delivery("s1", route, "GET", None, (("CallSid", "s1"), *fields.items()))
    return Attempt(delivery, 1, status, 1.0, str(stream) if stream else None)


def row(*attempts: Attempt, **changes) -> dict:
    """What the server holds when it took these."""
    later = NOW - timedelta(seconds=3)
    arrival = Arrival(at=later, audit_id=clock.uuid7(later))
    first, *others = [payload.load(one.delivery.route, one.delivery.pairs, arrival, None).view for one in attempts]
    for view in others:
        first = first.join(view)
    return {"id": ID, **store.columns(first), **changes}


@pytest.fixture
def attempts():
    return [
        attempt(Route.CALL_START, START, stream=ID),
        attempt(Route.CALL_END, {"CallStatus": "completed", "CallDuration": "9"}),
    ]


def compare(attempts: list[Attempt], rows: dict, flow: Flow = Flow.VOICEBOT) -> list[Difference]:
    deliveries = tuple(attempt.delivery for attempt in attempts)
    return differences([Call(flow, "s1", deliveries)], attempts, rows, NOW)


class TestDifferences:
    def test_are_none_where_the_row_is_what_was_acknowledged(self, attempts):
        assert compare(attempts, {"s1": row(*attempts)}) == []

    def test_do_not_count_repeats_or_order(self, attempts):
        assert compare([*reversed(attempts), *attempts], {"s1": row(*attempts)}) == []

    def test_do_not_count_what_was_not_acknowledged(self, attempts):
        refused = attempt(Route.CALL_END, {"CallStatus": "busy"}, status=500)
        unheard = attempt(Route.CALL_END, {"CallStatus": "busy"}, status=None)

        assert compare([*attempts, refused, unheard], {"s1": row(*attempts)}) == []

    def test_name_the_field_and_mask_numbers(self, attempts):
        found = compare(attempts, {"s1": row(*attempts, duration_seconds=8, phone_from="+919876543211")})

        assert set(found) == {
            Difference("s1", "duration_seconds", "9", "8"),
            Difference("s1", "phone_from", "*********10", "*********11"),
        }

    def test_name_a_call_that_was_acknowledged_whole_and_ends_otherwise(self, attempts):
        found = compare(attempts, {"s1": row(*attempts)}, Flow.MISSED)

        ending = ("no-answer / missed", "completed / answered")
        assert found == [Difference("s1", "end of a call of kind missed", *ending)]

    def test_do_not_ask_for_the_end_of_a_call_that_was_not_acknowledged_whole(self, attempts):
        refused = attempt(Route.CALL_END, {"CallStatus": "no-answer"}, status=500)

        assert compare([*attempts, refused], {"s1": row(*attempts)}, Flow.MISSED) == []

    def test_name_a_call_that_is_not_on_record(self, attempts):
        assert compare(attempts, {}) == [Difference("s1", "call", "a call", None)]

    def test_name_a_call_that_was_never_acknowledged(self, attempts):
        refused = [attempt(Route.CALL_START, START, status=503)]

        assert compare(refused, {"s1": row(*attempts)}) == [Difference("s1", "call", None, "a call")]

    def test_are_none_where_nothing_was_acknowledged_and_nothing_is_there(self):
        assert compare([attempt(Route.CALL_START, START, status=503)], {}) == []

    def test_name_a_time_that_does_not_come_from_the_arrival(self, attempts):
        found = compare(attempts, {"s1": row(*attempts, end_ts_source="api")})

        assert {difference.field for difference in found} == {"end_ts", "end_ts_source"}

    def test_name_a_stream_of_another_call_once(self, attempts):
        astray = attempt(Route.CALL_START, START, stream=UUID(int=8))
        nowhere = attempt(Route.CALL_START, START)

        found = compare([*attempts, astray, astray, nowhere], {"s1": row(*attempts)})

        assert set(found) == {
            Difference("s1", "stream's call id", str(ID), str(UUID(int=8))),
            Difference("s1", "stream's call id", str(ID), None),
        }
        assert len(found) == 2
