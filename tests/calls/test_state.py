from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import views

from calyapp.calls.state import CallOutcome, CallStatus, CallView, Evidence, Phase, Source, Sourced, rank


def over(evidence: Evidence, **known: Sourced) -> CallView:
    return CallView(phase=Phase.OVER, evidence=evidence, **known)


class TestJoin:
    @given(views, views)
    def test_does_not_care_which_comes_first(self, one, other):
        assert one.join(other) == other.join(one)

    @given(views, views, views)
    def test_does_not_care_which_are_joined_first(self, one, two, three):
        assert one.join(two).join(three) == one.join(two.join(three))

    @given(views)
    def test_learns_nothing_from_what_it_knows(self, view):
        assert view.join(view) == view

    @given(views)
    def test_learns_nothing_from_a_view_that_says_nothing(self, view):
        assert view.join(CallView()) == view

    @given(
        st.lists(views, min_size=1, max_size=7).flatmap(lambda told: st.tuples(st.just(told), st.permutations(told)))
    )
    def test_ends_the_same_in_every_order_of_seven(self, orders):
        told, shuffled = orders

        assert reduce(CallView.join, told) == reduce(CallView.join, shuffled)

    def test_of_equally_trusted_starts_takes_the_least_and_of_ends_the_greatest(self):
        early = CallView(start_ts=Sourced(Source.API, 1), end_ts=Sourced(Source.API, 1))
        late = CallView(start_ts=Sourced(Source.API, 2), end_ts=Sourced(Source.API, 2))

        joined = early.join(late)

        assert joined.start_ts == Sourced(Source.API, 1)
        assert joined.end_ts == Sourced(Source.API, 2)

    def test_believes_the_better_source_even_where_its_value_is_smaller(self):
        callback = CallView(talk_seconds=Sourced(Source.STATUS_CALLBACK, 900))
        api = CallView(talk_seconds=Sourced(Source.API, 3))

        assert callback.join(api).talk_seconds == Sourced(Source.API, 3)


class TestEnding:
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
    def test_is_not_told_while_the_call_is_open(self, phase, evidence):
        view = CallView(phase=phase, evidence=evidence)

        assert (view.status, view.outcome) == (CallStatus(phase.value), None)

    def test_of_a_leg_not_answered_and_one_answered_is_answered(self):
        assert over(Evidence.NO_ANSWER).join(over(Evidence.ANSWERED)).outcome is CallOutcome.ANSWERED

    def test_of_a_completed_call_with_an_unanswered_leg_is_missed(self):
        assert over(Evidence.COMPLETED).join(over(Evidence.NO_ANSWER)).outcome is CallOutcome.MISSED


class TestDuration:
    def test_is_the_talk_time(self):
        view = CallView(talk_seconds=Sourced(Source.PASSTHRU, 11), call_seconds=Sourced(Source.API, 95))

        assert view.duration_seconds == 11

    def test_is_the_reported_length_where_talk_time_is_not_known(self):
        assert CallView(call_seconds=Sourced(Source.PASSTHRU, 95)).duration_seconds == 95

    def test_of_zero_talk_is_zero(self):
        view = CallView(talk_seconds=Sourced(Source.API, 0), call_seconds=Sourced(Source.API, 9))

        assert view.duration_seconds == 0


def test_all_orders_of_a_whole_call_end_in_one_record():
    told = [
        CallView(phone_from=Sourced(Source.PASSTHRU, "+919876543210"), start_ts=Sourced(Source.ARRIVAL, 3)),
        CallView(phase=Phase.RINGING, start_ts=Sourced(Source.ARRIVAL, 1)),
        CallView(phase=Phase.IN_PROGRESS, phone_from=Sourced(Source.STATUS_CALLBACK, "09876543210")),
        over(Evidence.COMPLETED, call_seconds=Sourced(Source.STATUS_CALLBACK, 60)),
        over(Evidence.ANSWERED, talk_seconds=Sourced(Source.PASSTHRU, 41)),
        over(Evidence.NO_ANSWER, end_ts=Sourced(Source.ARRIVAL, 9)),
        CallView(recording_url=Sourced(Source.STATUS_CALLBACK, "https://recordings.example/1.mp3")),
    ]

    ends = {reduce(CallView.join, order) for order in permutations(told)}

    assert len(ends) == 1
    assert (ends.pop().status, rank(Phase.OVER)) == (CallStatus.COMPLETED, 3)
