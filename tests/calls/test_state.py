from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import views

from calyapp.calls.state import CallOutcome, CallStatus, CallView, Evidence, Phase, Source, Sourced, rank


def over(evidence: Evidence, **values: Sourced) -> CallView:
    return CallView(phase=Phase.OVER, evidence=evidence, **values)


class TestJoin:
    @given(views, views)
    def test_is_commutative(self, one, other):
        assert one.join(other) == other.join(one)

    @given(views, views, views)
    def test_is_associative(self, one, two, three):
        assert one.join(two).join(three) == one.join(two.join(three))

    @given(views)
    def test_is_idempotent(self, view):
        assert view.join(view) == view

    @given(views)
    def test_with_an_empty_view_changes_nothing(self, view):
        assert view.join(CallView()) == view

    @given(
        st.lists(views, min_size=1, max_size=7).flatmap(lambda seen: st.tuples(st.just(seen), st.permutations(seen)))
    )
    def test_is_the_same_in_every_order_of_up_to_seven_views(self, orders):
        seen, shuffled = orders

        assert reduce(CallView.join, seen) == reduce(CallView.join, shuffled)

    def test_takes_the_earliest_start_and_the_latest_end_of_one_source(self):
        early = CallView(start_ts=Sourced(Source.API, 1), end_ts=Sourced(Source.API, 1))
        late = CallView(start_ts=Sourced(Source.API, 2), end_ts=Sourced(Source.API, 2))

        joined = early.join(late)

        assert joined.start_ts == Sourced(Source.API, 1)
        assert joined.end_ts == Sourced(Source.API, 2)

    def test_prefers_the_better_source_even_if_its_value_is_smaller(self):
        callback = CallView(talk_seconds=Sourced(Source.STATUS_CALLBACK, 900))
        api = CallView(talk_seconds=Sourced(Source.API, 3))

        assert callback.join(api).talk_seconds == Sourced(Source.API, 3)


class TestStatusAndOutcome:
    @pytest.mark.parametrize(
        ("evidence", "status", "outcome"),
        [
            ("none", "completed", None),
            ("completed", "completed", "answered"),
            ("answered", "completed", "answered"),
            ("voicemail", "completed", "voicemail"),
            ("failed", "failed", "failed"),
            ("canceled", "canceled", "abandoned"),
            ("no-answer", "no-answer", "missed"),
            ("busy", "busy", "rejected"),
        ],
    )
    def test_follows_the_evidence_once_the_call_is_over(self, evidence, status, outcome):
        view = over(Evidence(evidence))

        assert (view.status, view.outcome) == (CallStatus(status), CallOutcome(outcome) if outcome else None)

    @given(st.sampled_from([phase for phase in Phase if phase is not Phase.OVER]), st.sampled_from(Evidence))
    def test_is_unknown_while_the_call_is_open(self, phase, evidence):
        view = CallView(phase=phase, evidence=evidence)

        assert (view.status, view.outcome) == (CallStatus(phase.value), None)

    def test_with_an_unanswered_and_an_answered_leg_is_answered(self):
        assert over(Evidence.NO_ANSWER).join(over(Evidence.ANSWERED)).outcome is CallOutcome.ANSWERED

    def test_with_a_completed_call_and_an_unanswered_leg_is_missed(self):
        assert over(Evidence.COMPLETED).join(over(Evidence.NO_ANSWER)).outcome is CallOutcome.MISSED


class TestDuration:
    def test_is_the_talk_time(self):
        view = CallView(talk_seconds=Sourced(Source.PASSTHRU, 11), call_seconds=Sourced(Source.API, 95))

        assert view.duration_seconds == 11

    def test_is_the_reported_length_if_the_talk_time_is_unknown(self):
        assert CallView(call_seconds=Sourced(Source.PASSTHRU, 95)).duration_seconds == 95

    def test_is_zero_if_the_talk_time_is_zero(self):
        view = CallView(talk_seconds=Sourced(Source.API, 0), call_seconds=Sourced(Source.API, 9))

        assert view.duration_seconds == 0


def test_all_orders_of_a_whole_call_give_one_record():
    seen = [
        CallView(phone_from=Sourced(Source.PASSTHRU, "+919876543210"), start_ts=Sourced(Source.ARRIVAL, 3)),
        CallView(phase=Phase.RINGING, start_ts=Sourced(Source.ARRIVAL, 1)),
        CallView(phase=Phase.IN_PROGRESS, phone_from=Sourced(Source.STATUS_CALLBACK, "09876543210")),
        over(Evidence.COMPLETED, call_seconds=Sourced(Source.STATUS_CALLBACK, 60)),
        over(Evidence.ANSWERED, talk_seconds=Sourced(Source.PASSTHRU, 41)),
        over(Evidence.NO_ANSWER, end_ts=Sourced(Source.ARRIVAL, 9)),
        CallView(recording_url=Sourced(Source.STATUS_CALLBACK, "https://recordings.example/1.mp3")),
    ]

    records = {reduce(CallView.join, order) for order in permutations(seen)}

    assert len(records) == 1
    assert (records.pop().status, rank(Phase.OVER)) == (CallStatus.COMPLETED, 3)
