from functools import reduce
from itertools import permutations

import pytest

from calyapp.calls.event import Route
from calyapp.calls.state import CallView, Source, Sourced
from calyapp.exotel import dialects
from calyapp.exotel.dialects import Dialect, Reading
from calyapp.exotel.fields import Fields

FLOW = {"DialWhomNumber": "", "CurrentTime": "2026-08-25 12:07:08", "flow_id": "1"}
CALLBACK = {"DateUpdated": "2026-08-25 12:07:08"}
POPUP = {"DialWhomNumber": "09000000009", "From": "09000000001"}
INTEGRATION = {"VirtualNumber": "08000000010", "AppUserID": "agent@example.com"}


def read(route: Route = Route.CALL_STATUS, **fields: str) -> Reading:
    """`Legs_1_Status` stands for `Legs[1][Status]`."""
    return dialects.read(route, Fields((_bracketed(name), text) for name, text in fields.items()))


def _bracketed(name: str) -> str:
    head, *inner = name.split("_")
    return head + "".join(f"[{part}]" for part in inner) if head in ("Legs", "Stream") else name


def progress(route: Route = Route.CALL_STATUS, **fields: str) -> tuple[str, str]:
    reading = read(route, **fields)
    return reading.phase.value, reading.evidence.value


def ccm(route: Route = Route.CALL_STATUS, event: str = "", **details: str) -> Reading:
    pairs = [(f"call_details[{name}]", text) for name, text in details.items()]
    return dialects.read(route, Fields([*pairs, ("event_details[event_type]", event)]))


class TestDialect:
    @pytest.mark.parametrize(
        ("fields", "dialect"),
        [
            (FLOW, Dialect.FLOW),
            ({"CallType": "call-attempt"}, Dialect.FLOW),
            ({"Stream": "{"}, Dialect.FLOW),
            ({"Stream_Status": "completed"}, Dialect.FLOW),
            ({"CurrentTime": "", "DialWhomNumber": ""}, Dialect.FLOW),
            ({"Status": "busy"}, Dialect.STATUS_CALLBACK),
            ({"Status": "busy", **CALLBACK}, Dialect.STATUS_CALLBACK),
            ({"Status": "busy", "EventType": "terminal"}, Dialect.STATUS_CALLBACK),
            ({"Status": "busy", **POPUP}, Dialect.POPUP),
            ({"Status": "free", "agent_email": "a@example.com"}, Dialect.POPUP),
            ({"EventType": "Dial"}, Dialect.POPUP),
            ({"CallStatus": "busy"}, Dialect.STATUS_CALLBACK),
            ({"CallStatus": "busy", "CallState": "active"}, Dialect.INTEGRATION_CORE),
            ({"CallStatus": "free", **INTEGRATION}, Dialect.INTEGRATION_CORE),
        ],
    )
    def test_is_recognised_by_its_distinctive_fields(self, fields, dialect):
        assert read(**fields).dialect is dialect

    @pytest.mark.parametrize(
        ("route", "source"), [("call-start", "passthru"), ("passthru", "passthru"), ("call-end", "status-callback")]
    )
    def test_without_distinctive_fields_follows_the_route(self, route, source):
        assert read(Route(route), CallStatus="ringing").source is Source(source)


class TestFlow:
    @pytest.mark.parametrize(
        ("fields", "evidence"),
        [
            ({"CallType": "completed", "DialCallStatus": "completed"}, "answered"),
            ({"CallType": "incomplete", "DialCallStatus": "no-answer"}, "no-answer"),
            ({"CallType": "incomplete", "DialCallStatus": "busy"}, "busy"),
            ({"CallType": "incomplete", "DialCallStatus": "failed"}, "failed"),
            ({"CallType": "incomplete"}, "no-answer"),
            ({"CallType": "client-hangup", "DialCallStatus": "canceled"}, "canceled"),
            ({"CallType": "client-hangup"}, "canceled"),
            ({"CallType": "voicemail", "DialCallStatus": "no-answer"}, "voicemail"),
            ({"CallType": "call-attempt"}, "none"),
            ({"CallType": "brand-new", "DialCallStatus": "some-new-value"}, "none"),
            ({"CallType": "completed"}, "completed"),
            ({"DialCallStatus": "in-progress"}, "none"),
            ({"DialCallStatus": "no-answer", "DialCallDuration": "30"}, "no-answer"),
            ({"DialCallStatus": "busy", "Legs_0_OnCallDuration": "0", "Legs_1_OnCallDuration": "8"}, "answered"),
            ({"Stream_Status": "completed", "Stream_Duration": "95"}, "answered"),
            ({"Stream_Duration": "95"}, "answered"),
            ({"Stream_Status": "failed", "CallStatus": "completed"}, "failed"),
            ({"Stream_Status": "completed", "Stream_Error": "opaque", "Stream_Duration": "5"}, "failed"),
            ({"Stream_Status": "completed", "Stream_Error": "null"}, "answered"),
            ({"Stream": '{"Status": "completed", "Duration": 28}'}, "answered"),
            ({"Stream": '{"Status": "completed", "Error": "opaque"}'}, "failed"),
            ({"Stream": '{"Status": "comp'}, "none"),
        ],
    )
    def test_gives_evidence_and_never_the_end(self, fields, evidence):
        phase = "initiated" if evidence == "none" else "in-progress"

        assert progress(Route.PASSTHRU, **FLOW, **fields) == (phase, evidence)
        assert progress(Route.CALL_STATUS, **FLOW, **fields) == (phase, evidence)

    def test_ends_the_call_on_the_route_call_end(self):
        assert progress(Route.CALL_END, **FLOW, DialCallStatus="busy") == ("over", "busy")

    @pytest.mark.parametrize(
        ("fields", "seconds"),
        [
            ({"Legs_0_OnCallDuration": "11", "DialCallDuration": "13"}, 11),
            ({"Legs_0_OnCallDuration": "0", "Legs_1_OnCallDuration": "15"}, 15),
            ({"Legs_0_OnCallDuration": "15", "Legs_1_OnCallDuration": "0"}, 15),
            ({"Legs_0_OnCallDuration": "0"}, 0),
            ({"Legs_0_OnCallDuration": ""}, None),
            ({"DialCallDuration": "13"}, None),
            ({"Stream_Duration": "95"}, 95),
            ({"Stream_Duration": "95", "Legs_0_OnCallDuration": "0"}, 95),
        ],
    )
    def test_reads_the_talk_time_of_the_leg_that_answered(self, fields, seconds):
        assert read(**FLOW, **fields).talk_seconds == seconds

    def test_ignores_the_leg_of_the_caller(self):
        caller_leg = {"From": "09000000001", "Legs_0_Number": "+919000000001", "Legs_0_OnCallDuration": "30"}

        reading = read(**FLOW, **caller_leg, DialCallStatus="no-answer", Legs_1_OnCallDuration="0")

        assert (reading.evidence, reading.talk_seconds) == ("no-answer", 0)


class TestPopup:
    @pytest.mark.parametrize(
        ("fields", "phase"),
        [
            ({"Status": "busy"}, "ringing"),
            ({"Status": "free"}, "initiated"),
            ({"Status": "busy", "EventType": "Dial"}, "ringing"),
            ({"EventType": "Ringing"}, "ringing"),
            ({"Status": "busy", "EventType": "Answered"}, "in-progress"),
            ({"Status": "free", "EventType": "Terminal"}, "initiated"),
        ],
    )
    @pytest.mark.parametrize("route", [Route.CALL_STATUS, Route.CALL_END])
    def test_reports_an_agent_and_never_the_end(self, route, fields, phase):
        assert progress(route, **POPUP, **fields) == (phase, "none")

    def test_is_trusted_like_a_flow(self):
        assert read(**POPUP, Status="busy").source is Source.PASSTHRU


class TestStatusCallback:
    @pytest.mark.parametrize(
        ("fields", "phase", "evidence"),
        [
            ({"Status": "completed"}, "over", "completed"),
            ({"Status": "failed"}, "over", "failed"),
            ({"Status": "busy", "Legs_0_Status": "busy", "Legs_1_Status": ""}, "over", "busy"),
            ({"Status": "no-answer", "Legs_0_OnCallDuration": "20"}, "over", "no-answer"),
            ({"Status": "completed", "Legs_1_Status": "no-answer"}, "over", "no-answer"),
            ({"Status": "failed", "Legs_1_Status": "canceled"}, "over", "canceled"),
            ({"Status": "completed", "Legs_1_Status": "completed"}, "over", "answered"),
            ({"Status": "completed", "ConversationDuration": "7"}, "over", "answered"),
            ({"Status": "completed", "ConversationDuration": "0"}, "over", "completed"),
            ({"Status": "in-progress", "EventType": "answered", "Legs_0_Status": "in-progress"}, "in-progress", "none"),
            ({"Status": "", "EventType": "answered"}, "in-progress", "none"),
            ({"Status": "completed", "EventType": "answered"}, "in-progress", "completed"),
            ({"Status": "", "EventType": "terminal"}, "over", "none"),
            ({"Status": "in-progress", "EventType": "terminal"}, "over", "none"),
            ({"Status": "ringing", "EventType": "ringing"}, "ringing", "none"),
            ({"Status": "odd", "EventType": "odd"}, "initiated", "none"),
        ],
    )
    def test_ends_the_call_unless_its_event_says_otherwise(self, fields, phase, evidence):
        assert progress(**CALLBACK, **fields) == (phase, evidence)

    @pytest.mark.parametrize("event", ["answered", "ringing", "Answered"])
    def test_of_an_open_event_does_not_end_the_call_on_the_route_call_end(self, event):
        assert progress(Route.CALL_END, Status="in-progress", EventType=event)[0] == "in-progress"

    @pytest.mark.parametrize(
        ("fields", "seconds"),
        [
            ({"ConversationDuration": "120", "Legs_1_OnCallDuration": "9"}, 120),
            ({"Legs_0_OnCallDuration": "134", "Legs_1_OnCallDuration": "120"}, 120),
            ({"Legs_0_OnCallDuration": "134"}, None),
            ({"ConversationDuration": ""}, None),
        ],
    )
    def test_reads_the_talk_time_while_both_parties_were_connected(self, fields, seconds):
        assert read(**CALLBACK, **fields).talk_seconds == seconds


class TestIntegrationCore:
    @pytest.mark.parametrize(
        ("fields", "phase", "evidence"),
        [
            ({"CallStatus": "busy", "CallState": "active"}, "ringing", "none"),
            ({"CallStatus": "free", "CallState": "active"}, "initiated", "none"),
            ({"CallStatus": "free", "CallState": ""}, "initiated", "none"),
            ({"CallStatus": "busy", "CallState": "terminal"}, "over", "none"),
            ({"CallStatus": "", "CallState": "active"}, "in-progress", "none"),
            ({"CallStatus": "busy", "CallDetail": "answered"}, "in-progress", "none"),
            ({"CallStatus": "", "CallDetail": "terminal"}, "over", "none"),
            ({"CallStatus": "", "CallState": "active", "CallDetail": "terminal"}, "in-progress", "none"),
            ({"CallStatus": "completed", "CallState": "terminal"}, "over", "completed"),
            ({"CallStatus": "completed", "CallState": "active"}, "in-progress", "completed"),
            ({"CallStatus": "to_leg_unanswered", "CallState": "terminal"}, "over", "no-answer"),
            ({"CallStatus": "from_leg_unanswered", "CallState": "terminal"}, "over", "no-answer"),
            ({"CallStatus": "from_leg_cancelled", "CallState": "terminal"}, "over", "canceled"),
        ],
    )
    def test_is_over_when_its_state_is_terminal(self, fields, phase, evidence):
        assert progress(**INTEGRATION, **fields) == (phase, evidence)

    def test_does_not_end_the_call_by_the_route_because_one_url_gets_all_its_events(self):
        assert progress(Route.CALL_END, **INTEGRATION, CallStatus="busy", CallState="active") == ("ringing", "none")


class TestCcm:
    @pytest.mark.parametrize(
        ("event", "details", "phase", "evidence"),
        [
            ("answered", {"state": "active", "status": "in_progress"}, "in-progress", "none"),
            ("terminal", {"state": "terminal", "status": "completed"}, "over", "completed"),
            ("terminal", {"status": "to_leg_no_dial"}, "over", "failed"),
            ("terminal", {"status": "completed", "total_talk_time": "10"}, "over", "answered"),
            ("", {"status": "from_leg_cancelled"}, "over", "canceled"),
            ("", {"status": "brand_new"}, "initiated", "none"),
            ("terminal", {}, "over", "none"),
        ],
    )
    def test_is_over_when_state_or_event_is_terminal(self, event, details, phase, evidence):
        reading = ccm(event=event, **details)

        assert (reading.phase, reading.evidence) == (phase, evidence)

    @pytest.mark.parametrize(
        ("event", "state", "phase"),
        [("answered", "", "in-progress"), ("", "active", "in-progress"), ("terminal", "terminal", "over")],
    )
    def test_of_an_open_call_does_not_end_it_on_the_route_call_end(self, event, state, phase):
        assert ccm(Route.CALL_END, event=event, state=state).phase == phase


class TestCdr:
    @pytest.mark.parametrize(
        ("fields", "phase", "evidence"),
        [
            ({"Status": "completed"}, "over", "completed"),
            ({"Status": "completed", "ConversationDuration": "0"}, "over", "completed"),
            ({"Status": "completed", "ConversationDuration": "9"}, "over", "answered"),
            ({"Status": "completed", "Leg1Status": "completed", "Leg2Status": "no-answer"}, "over", "no-answer"),
            ({"Status": "completed", "Leg1Status": "completed", "Leg2Status": "completed"}, "over", "answered"),
            ({"Status": "failed", "Leg1Status": "busy", "Leg2Status": ""}, "over", "busy"),
            ({"Status": "No_Answer"}, "over", "no-answer"),
            ({"Status": "in-progress"}, "in-progress", "none"),
            ({"Status": "brand-new", "Leg2Status": "null"}, "initiated", "none"),
            ({}, "initiated", "none"),
        ],
    )
    def test_reads_the_outcome(self, fields, phase, evidence):
        assert progress(Route.CDR, **fields) == (phase, evidence)

    def test_is_recognised_by_the_route_and_trusted_most(self):
        reading = read(Route.CDR, **FLOW, **CALLBACK, ConversationDuration="12")

        assert (reading.dialect, reading.source, reading.talk_seconds) == (Dialect.CDR, Source.API, 12)


START = (Route.CALL_START, {"Direction": "incoming"})
END = (Route.CALL_END, {"CallStatus": "completed"})
LEG_1, LEG_2 = {"Legs_0_Status": "in-progress", "Legs_1_Status": ""}, {"Legs_1_Status": "in-progress"}
OUTBOUND = [
    (Route.CALL_STATUS, {"Status": "in-progress", "EventType": "answered", **LEG_1}),
    (Route.CALL_STATUS, {"Status": "in-progress", "EventType": "answered", **LEG_2}),
]


def flow(**fields: str) -> tuple[Route, dict[str, str]]:
    return Route.PASSTHRU, {**FLOW, **fields}


def terminal(**fields: str) -> tuple[Route, dict[str, str]]:
    return Route.CALL_STATUS, {"EventType": "terminal", **fields}


CALLS = {
    "answered": (
        [START, flow(CallType="completed", DialCallStatus="completed", Legs_0_OnCallDuration="11"), END],
        ("completed", "answered", 11),
    ),
    "a voicebot talked": (
        [START, flow(Stream_Status="completed", Stream_Duration="28"), END],
        ("completed", "answered", 28),
    ),
    "missed": (
        [START, flow(CallType="incomplete", DialCallStatus="no-answer", DialCallDuration="30"), END],
        ("no-answer", "missed", None),
    ),
    "rejected": ([START, flow(CallType="incomplete", DialCallStatus="busy"), END], ("busy", "rejected", None)),
    "abandoned": (
        [START, flow(CallType="client-hangup", DialCallStatus="canceled"), END],
        ("canceled", "abandoned", None),
    ),
    "voicemail": (
        [START, flow(CallType="voicemail", DialCallStatus="no-answer"), END],
        ("completed", "voicemail", None),
    ),
    "the second agent answers": (
        [
            START,
            (Route.CALL_STATUS, {**POPUP, "Status": "busy"}),
            flow(DialCallStatus="no-answer", Legs_0_OnCallDuration="0"),
            flow(DialCallStatus="completed", Legs_0_OnCallDuration="9"),
            END,
        ],
        ("completed", "answered", 9),
    ),
    "the stream failed": (
        [START, flow(Stream_Status="completed", Stream_Error="opaque", Stream_Duration="0"), END],
        ("failed", "failed", 0),
    ),
    "outbound, both answered": (
        [*OUTBOUND, terminal(Status="completed", ConversationDuration="120", Legs_1_Status="completed")],
        ("completed", "answered", 120),
    ),
    "outbound, the customer did not answer": (
        [OUTBOUND[0], terminal(Status="no-answer", ConversationDuration="0", Legs_0_OnCallDuration="20")],
        ("no-answer", "missed", 0),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_any_order_of_the_deliveries_of_a_call_gives_its_outcome(name):
    deliveries, expected = CALLS[name]
    views = [_view(read(route, **fields)) for route, fields in deliveries]

    for order in permutations([*views, views[0]]):
        joined = reduce(CallView.join, order)
        assert (joined.status, joined.outcome, joined.duration_seconds) == expected


def _view(reading: Reading) -> CallView:
    talk = reading.talk_seconds
    talk_seconds = None if talk is None else Sourced(reading.source, talk)
    return CallView(phase=reading.phase, evidence=reading.evidence, talk_seconds=talk_seconds)


def test_every_dialect_is_read():
    assert set(dialects._PROGRESS_READERS) == set(Dialect)
