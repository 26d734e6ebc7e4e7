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
    @given(pairs)
    def test_does_not_depend_on_the_order_of_names(self, parameters):
        by_name = sorted(parameters, key=lambda pair: pair[0], reverse=True)

        assert digest(Route.CALL_END, parameters) == digest(Route.CALL_END, by_name)

    def test_depends_on_the_order_of_texts_under_one_name(self):
        one, other = [("CallSid", "d1"), ("CallSid", "d2")], [("CallSid", "d2"), ("CallSid", "d1")]

        assert digest(Route.CALL_END, one) != digest(Route.CALL_END, other)

    @given(pairs, pairs)
    def test_differs_for_different_parameters(self, one, other):
        is_same = digest(Route.CALL_END, one) == digest(Route.CALL_END, other)

        assert is_same == (sorted(one, key=lambda pair: pair[0]) == sorted(other, key=lambda pair: pair[0]))

    def test_differs_for_different_routes(self):
        assert digest(Route.CALL_END, []) != digest(Route.CALL_STATUS, [])

    def test_accepts_any_text_even_a_lone_surrogate(self):
        assert len(digest(Route.CALL_END, [("a", "\ud800\0")])) == 32


class TestCallId:
    def test_is_the_same_for_every_delivery_of_a_call(self):
        assert event("s1").call_id(A) == event("s1").call_id(A)

    def test_differs_for_different_clients_and_calls(self):
        ids = {event(sid).call_id(client) for sid in ("s1", "s2") for client in (A, B)}

        assert len(ids) == 4

    def test_is_none_without_a_call_sid(self):
        assert event(None).call_id(A) is None


class TestPayload:
    def test_keeps_the_texts_of_a_repeated_name_in_their_order(self):
        assert payload([("a", "2"), ("b", "x"), ("a", "1")]) == {"a": ["2", "1"], "b": "x"}

    def test_escapes_what_postgresql_cannot_store(self):
        assert payload([("a\0", "x\0y\ud83dz"), ("b", "🙂")]) == {"a\\u0000": "x\\u0000y\\ud83dz", "b": "🙂"}
