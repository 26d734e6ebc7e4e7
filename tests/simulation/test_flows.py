import re
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import permutations
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from calyapp.calls.event import Arrival, Route
from calyapp.calls.state import CallView
from calyapp.exotel import payload
from calyapp.simulation import flows
from calyapp.simulation.flows import FORM, JSON, Call, Flow

NUMBER = "+918047112345"
PASSTHRU = "https://caly.example/webhooks/exotel/passthru?key=cwk_canary"
BEGAN = datetime(2026, 7, 31, 20, 0, 5, tzinfo=UTC)  # the first of August in India


def play(flow: Flow, seed: int = 1, number: str = NUMBER) -> Call:
    return flows.call(flow, number, PASSTHRU, BEGAN, Random(seed))


@pytest.mark.parametrize("flow", Flow)
class TestEveryFlow:
    def test_is_the_same_for_the_same_seed(self, flow):
        assert play(flow) == play(flow)
        assert play(flow, seed=2).call_sid != play(flow).call_sid

    def test_names_its_call_in_every_delivery(self, flow):
        call = play(flow)

        assert re.fullmatch(r"[0-9a-f]{28}1a81", call.call_sid)
        assert {dict(delivery.pairs)["CallSid"] for delivery in call.deliveries} == {call.call_sid}
        assert {delivery.call_sid for delivery in call.deliveries} == {call.call_sid}

    def test_sends_no_field_twice_and_no_delivery_twice(self, flow):
        deliveries = play(flow).deliveries

        assert all(len(dict(delivery.pairs)) == len(delivery.pairs) for delivery in deliveries)
        assert len(set(deliveries)) == len(deliveries)

    def test_writes_the_clients_number_as_a_number_of_its_own(self, flow):
        pairs = [pair for seed in range(8) for delivery in play(flow, seed).deliveries for pair in delivery.pairs]

        assert {text for name, text in pairs if name in ("CallTo", "PhoneNumberSid")} == {NUMBER, "08047112345"}

    def test_comes_as_queries_from_applets_and_as_bodies_from_callbacks(self, flow):
        of_callbacks = {(delivery.method, delivery.content_type) for delivery in play(flow).deliveries}

        assert of_callbacks <= ({("POST", FORM), ("POST", JSON)} if flow is Flow.OUTBOUND else {("GET", None)})


def test_times_are_those_of_india():
    started = dict(play(Flow.MISSED).deliveries[0].pairs)

    assert started["StartTime"] == f"{BEGAN.astimezone(ZoneInfo('Asia/Kolkata')):%Y-%m-%d %H:%M:%S}"
    assert started["CurrentTime"] == f"{BEGAN + timedelta(hours=5, minutes=30, seconds=1):%Y-%m-%d %H:%M:%S}"
    assert started["EndTime"] == "1970-01-01 05:30:00"


def test_a_voicebot_is_shown_the_address_of_the_passthru_before_it_with_its_key():
    (asked,) = [delivery for delivery in play(Flow.VOICEBOT).deliveries if delivery.route is Route.CALL_START]

    shown = dict(asked.pairs)["passthru"]
    assert shown.startswith(r'"https:\/\/caly.example\/webhooks\/exotel\/passthru?key=cwk_canary&CallSid=')
    assert shown.endswith('"')


def test_callbacks_come_as_forms_and_as_json():
    kinds = {delivery.content_type for seed in range(8) for delivery in play(Flow.OUTBOUND, seed).deliveries}

    assert kinds == {FORM, JSON}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("flow", Flow)
def test_every_order_of_a_flow_ends_in_one_record_as_the_protocol_says(flow, seed):
    arrival = Arrival(at=BEGAN + timedelta(minutes=20), audit_id=UUID(int=1))
    views = [payload.load(one.route, one.pairs, arrival, None).view for one in play(flow, seed).deliveries]

    (view,) = {reduce(CallView.join, order) for order in permutations(views)}

    assert (view.status, view.outcome) == flows.ENDS[flow]
