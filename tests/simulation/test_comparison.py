from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from calyapp import clock
from calyapp.calls import store
from calyapp.calls.event import Arrival, Route
from calyapp.exotel import payload
from calyapp.simulation.comparison import Difference, differences
from calyapp.simulation.scenarios import Call, Delivery, Scenario
from calyapp.simulation.simulator import Attempt

NOW = datetime(2026, 7, 31, 12, 0, tzinfo=UTC)
ID = UUID(int=9)
START = {"From": "09876543210", "To": "08047112345"}


def attempt(route: Route, fields: dict[str, str], status: int | None = 200, stream: UUID | None = None) -> Attempt:
    delivery = Delivery("s1", route, "GET", None, (("CallSid", "s1"), *fields.items()))
    return Attempt(delivery, 1, status, 1.0, str(stream) if stream else None)


def row(*attempts: Attempt, **changes) -> dict:
    """Returns the stored call after these attempts."""
    arrived_at = NOW - timedelta(seconds=3)
    arrival = Arrival(at=arrived_at, audit_id=clock.uuid7(arrived_at))
    first, *others = [
        payload.load(attempt.delivery.route, attempt.delivery.pairs, arrival, None).view for attempt in attempts
    ]
    for view in others:
        first = first.join(view)
    return {"id": ID, **store.columns(first), **changes}


@pytest.fixture
def attempts():
    return [
        attempt(Route.CALL_START, START, stream=ID),
        attempt(Route.CALL_END, {"CallStatus": "completed", "CallDuration": "9"}),
    ]


def compare(attempts: list[Attempt], rows: dict, scenario: Scenario = Scenario.VOICEBOT) -> list[Difference]:
    deliveries = tuple(attempt.delivery for attempt in attempts)
    return differences([Call(scenario, "s1", deliveries)], attempts, rows, NOW)


class TestDifferences:
    def test_are_none_if_the_row_is_what_was_acknowledged(self, attempts):
        assert compare(attempts, {"s1": row(*attempts)}) == []

    def test_do_not_depend_on_repeats_or_order(self, attempts):
        assert compare([*reversed(attempts), *attempts], {"s1": row(*attempts)}) == []

    def test_ignore_attempts_that_were_not_acknowledged(self, attempts):
        refused = attempt(Route.CALL_END, {"CallStatus": "busy"}, status=500)
        unanswered = attempt(Route.CALL_END, {"CallStatus": "busy"}, status=None)

        assert compare([*attempts, refused, unanswered], {"s1": row(*attempts)}) == []

    def test_contain_the_field_with_masked_numbers(self, attempts):
        result = compare(attempts, {"s1": row(*attempts, duration_seconds=8, phone_from="+919876543211")})

        assert set(result) == {
            Difference("s1", "duration_seconds", "9", "8"),
            Difference("s1", "phone_from", "*********10", "*********11"),
        }

    def test_contain_a_complete_call_with_an_unexpected_end(self, attempts):
        result = compare(attempts, {"s1": row(*attempts)}, Scenario.MISSED)

        ends = ("no-answer / missed", "completed / answered")
        assert result == [Difference("s1", "end of a call of kind missed", *ends)]

    def test_ignore_the_end_of_an_incomplete_call(self, attempts):
        refused = attempt(Route.CALL_END, {"CallStatus": "no-answer"}, status=500)

        assert compare([*attempts, refused], {"s1": row(*attempts)}, Scenario.MISSED) == []

    def test_contain_a_missing_call(self, attempts):
        assert compare(attempts, {}) == [Difference("s1", "call", "a call", None)]

    def test_contain_a_call_that_was_never_acknowledged(self, attempts):
        refused = [attempt(Route.CALL_START, START, status=503)]

        assert compare(refused, {"s1": row(*attempts)}) == [Difference("s1", "call", None, "a call")]

    def test_are_none_if_nothing_was_acknowledged_or_stored(self):
        assert compare([attempt(Route.CALL_START, START, status=503)], {}) == []

    def test_contain_a_time_that_does_not_come_from_the_arrival(self, attempts):
        result = compare(attempts, {"s1": row(*attempts, end_ts_source="api")})

        assert {difference.field for difference in result} == {"end_ts", "end_ts_source"}

    def test_contain_a_stream_of_another_call_once(self, attempts):
        other_stream = attempt(Route.CALL_START, START, stream=UUID(int=8))
        no_stream = attempt(Route.CALL_START, START)

        result = compare([*attempts, other_stream, other_stream, no_stream], {"s1": row(*attempts)})

        assert set(result) == {
            Difference("s1", "stream's call id", str(ID), str(UUID(int=8))),
            Difference("s1", "stream's call id", str(ID), None),
        }
        assert len(result) == 2
