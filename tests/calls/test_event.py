from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from calyapp.calls.event import Arrival, CallEvent, Route, digest, payload
from calyapp.calls.state import CallView

pairs = st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=6)
A, B = UUID(int=1), UUID(int=2)


def event(call_sid: str | None) -> CallEvent:
    arrival = Arrival(at=datetime(2026, 11, 22, tzinfo=UTC), audit_id=UUID(int=9))
    return CallEvent(
        route=Route.CALL_START,
        parameters=[],
        digest=b"",
        arrival=arrival,
        client_id=None,
        call_sid=call_sid,
        view=CallView(),
    )


class TestDigest:
    @given(pairs.flatmap(lambda told: st.tuples(st.just(told), st.permutations(told))))
    def test_does_not_depend_on_the_order_of_parameters(self, orders):
        assert digest(Route.CALL_END, orders[0]) == digest(Route.CALL_END, orders[1])

    @given(pairs, pairs)
    def test_tells_different_parameters_apart(self, one, other):
        same = digest(Route.CALL_END, one) == digest(Route.CALL_END, other)

        assert same == (sorted(one) == sorted(other))

    def test_tells_routes_apart(self):
        assert digest(Route.CALL_END, []) != digest(Route.CALL_STATUS, [])

    def test_takes_any_text_even_half_a_surrogate_pair(self):
        assert len(digest(Route.CALL_END, [("a", "\ud800\0")])) == 32


class TestCallId:
    def test_is_the_same_for_every_delivery_of_a_call(self):
        assert event("s1").call_id(A) == event("s1").call_id(A)

    def test_keeps_clients_and_calls_apart(self):
        ids = {event(sid).call_id(client) for sid in ("s1", "s2") for client in (A, B)}

        assert len(ids) == 4

    def test_is_none_where_there_is_no_call(self):
        assert event(None).call_id(A) is None


def test_payload_keeps_repeated_names_in_their_order():
    assert payload([("a", "2"), ("b", "x"), ("a", "1")]) == {"a": ["2", "1"], "b": "x"}
