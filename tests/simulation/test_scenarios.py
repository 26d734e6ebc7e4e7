import json
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
from calyapp.simulation import scenarios
from calyapp.simulation.scenarios import FORM, JSON, Call, Scenario

NUMBER = "+918047112345"
PASSTHRU = "https://caly.example/webhooks/exotel/passthru?key=cwk_canary"
BEGAN = datetime(2026, 7, 31, 20, 0, 5, tzinfo=UTC)  # the first of August in India


def simulate(scenario: Scenario, seed: int = 1, number: str = NUMBER) -> Call:
    return scenarios.call(scenario, number, PASSTHRU, BEGAN, Random(seed))


@pytest.mark.parametrize("scenario", Scenario)
class TestEveryScenario:
    def test_depends_on_the_seed_only(self, scenario):
        assert simulate(scenario) == simulate(scenario)
        assert simulate(scenario, seed=2).call_sid != simulate(scenario).call_sid

    def test_names_its_call_in_every_delivery(self, scenario):
        call = simulate(scenario)

        assert re.fullmatch(r"[0-9a-f]{28}1a81", call.call_sid)
        assert {dict(delivery.pairs)["CallSid"] for delivery in call.deliveries} == {call.call_sid}
        assert {delivery.call_sid for delivery in call.deliveries} == {call.call_sid}

    def test_repeats_no_field_and_no_delivery(self, scenario):
        deliveries = simulate(scenario).deliveries

        assert all(len(dict(delivery.pairs)) == len(delivery.pairs) for delivery in deliveries)
        assert len(set(deliveries)) == len(deliveries)

    def test_has_the_number_of_the_client_in_both_formats(self, scenario):
        pairs = [
            pair for seed in range(8) for delivery in simulate(scenario, seed).deliveries for pair in delivery.pairs
        ]

        assert {text for name, text in pairs if name in ("CallTo", "PhoneNumberSid")} == {NUMBER, "08047112345"}

    def test_sends_queries_from_applets_and_bodies_from_callbacks(self, scenario):
        requests = {(delivery.method, delivery.content_type) for delivery in simulate(scenario).deliveries}

        assert requests <= ({("POST", FORM), ("POST", JSON)} if scenario is Scenario.OUTBOUND else {("GET", None)})


def test_times_are_indian():
    started = dict(simulate(Scenario.MISSED).deliveries[0].pairs)

    assert started["StartTime"] == f"{BEGAN.astimezone(ZoneInfo('Asia/Kolkata')):%Y-%m-%d %H:%M:%S}"
    assert started["CurrentTime"] == f"{BEGAN + timedelta(hours=5, minutes=30, seconds=1):%Y-%m-%d %H:%M:%S}"
    assert started["EndTime"] == "1970-01-01 05:30:00"


def test_a_request_for_a_stream_repeats_the_url_of_the_passthru_with_its_key():
    (request,) = [delivery for delivery in simulate(Scenario.VOICEBOT).deliveries if delivery.route is Route.CALL_START]

    repeated = dict(request.pairs)["passthru"]
    assert repeated.startswith(r'"https:\/\/caly.example\/webhooks\/exotel\/passthru?key=cwk_canary&CallSid=')
    assert repeated.endswith('"')


def test_callbacks_are_forms_or_json():
    content_types = {
        delivery.content_type for seed in range(8) for delivery in simulate(Scenario.OUTBOUND, seed).deliveries
    }

    assert content_types == {FORM, JSON}


def test_callbacks_and_streams_name_their_status_as_exotel_does():
    callbacks = [dict(delivery.pairs) for delivery in simulate(Scenario.OUTBOUND).deliveries]
    (completed,) = [
        dict(one.pairs)["Stream"] for one in simulate(Scenario.VOICEBOT).deliveries if "Stream" in dict(one.pairs)
    ]
    (failed,) = [one for one in simulate(Scenario.STREAM_FAILURE).deliveries if "Stream[Error]" in dict(one.pairs)]

    # docs/exotel-protocol.md, sections 4.2 and 3.1.
    assert [(fields["Status"], "CallStatus" in fields) for fields in callbacks] == [
        *[("in-progress", False)] * 2,
        *[("completed", False)] * 2,
    ]
    assert json.loads(completed)["Status"] == "completed"
    assert dict(failed.pairs)["Stream[Status]"] == "failed"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scenario", Scenario)
def test_any_order_of_the_deliveries_gives_the_expected_end(scenario, seed):
    arrival = Arrival(at=BEGAN + timedelta(minutes=20), audit_id=UUID(int=1))
    views = [
        payload.load(delivery.route, delivery.pairs, arrival, None).view
        for delivery in simulate(scenario, seed).deliveries
    ]

    (view,) = {reduce(CallView.join, order) for order in permutations(views)}

    assert (view.status, view.outcome) == scenarios.EXPECTED_END[scenario]
