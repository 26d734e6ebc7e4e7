from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.calls.event import Arrival, CallEvent, Route
from calyapp.calls.state import Direction, Evidence, Phase, Source, Sourced
from calyapp.errors import ValidationError
from calyapp.exotel import payload

ARRIVAL = Arrival(at=datetime(2026, 11, 22, 9, tzinfo=UTC), audit_id=UUID(int=1))
CALL_ROUTES = [route for route in Route if route is not Route.HEARTBEAT]
IDENTITY = {"CallSid": "s1", "From": "09876543210", "To": "08047112345", "CallStatus": "ringing"}

NAMES = [
    *("CallStatus", "Status", "EventType", "CallType", "DialCallStatus", "CallState", "CallDetail", "Stream", "Legs"),
    *("Stream[Status]", "Stream[Duration]", "Stream[Error]", "Legs[0][OnCallDuration]", "Legs[1][Status]", "Legs[x"),
    *(
        "From",
        "CallTo",
        "Direction",
        "StartTime",
        "EndTime",
        "RecordingUrl",
        "call_details[sid]",
        "call_details[state]",
    ),
]
WORDS = [
    *("completed", "busy", "free", "terminal", "active", "answered", "to_leg_no_dial", "null", "[", '{"Status": "x"}'),
    *("09876543210", "2026-11-22 14:30:00", "0001-01-01T00:00:00+05:30", "86401", "https://a/\ud800", "[[[]]]"),
]


def load(route: Route, *pairs: tuple[str, str], **fields: str) -> CallEvent:
    return payload.load(route, [*fields.items(), *pairs], ARRIVAL, None)


def refusal(route: Route, *pairs: tuple[str, str], **fields: str) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        load(route, *pairs, **fields)
    return raised.value


class TestRequiredFields:
    @pytest.mark.parametrize("route", CALL_ROUTES)
    def test_of_a_call_include_its_call_sid(self, route):
        missing = {name: value for name, value in IDENTITY.items() if name != "CallSid"}

        assert set(refusal(route, **missing).details) == {"CallSid"}

    @pytest.mark.parametrize("call_sid", ["", "a" * 65, "a b", "ä", "a\0", "a\n", "{{CallSid}}", "a/b"])
    def test_refuse_an_invalid_call_sid(self, call_sid):
        assert set(refusal(Route.CALL_START, **{**IDENTITY, "CallSid": call_sid}).details) == {"CallSid"}

    @given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
    def test_accept_every_valid_call_sid(self, call_sid):
        assert load(Route.CALL_END, CallSid=call_sid).call_sid == call_sid

    def test_of_a_start_include_both_numbers(self):
        error = refusal(Route.CALL_START, CallSid="s1")

        assert error.details == {"From": ["is missing."], "To": ["is missing."]}
        assert error.message == "From is missing. To is missing."

    @pytest.mark.parametrize("withheld", ["", "anonymous", "Unknown", "Restricted", " "])
    def test_accept_a_withheld_number(self, withheld):
        event = load(Route.CALL_START, **{**IDENTITY, "From": withheld})

        assert event.view.phone_from is None

    @pytest.mark.parametrize("status", [{}, {"CallStatus": ""}])
    def test_of_a_status_include_a_status(self, status):
        assert set(refusal(Route.CALL_STATUS, CallSid="s1", **status).details) == {"CallStatus"}

    def test_are_reported_all_at_once(self):
        assert set(refusal(Route.CALL_STATUS).details) == {"CallSid", "CallStatus"}

    @pytest.mark.parametrize("name", ["CallSid", "From", "To", "CallStatus", "RecordingUrl", "CallDuration"])
    @pytest.mark.parametrize("suffix", ["[0]", "[]", "[a][b]"])
    def test_refuse_a_list_or_an_object_in_place_of_a_text(self, name, suffix):
        rest = {other: value for other, value in IDENTITY.items() if other != name}

        error = refusal(Route.CALL_START, (name + suffix, "x"), **rest)

        assert error.details == {name: ["must be a text, not a list or an object."]}

    @pytest.mark.parametrize("name", ["From", "To"])
    def test_refuse_nul_in_a_number(self, name):
        assert set(refusal(Route.CALL_START, **{**IDENTITY, name: "09\0"}).details) == {name}

    def test_of_a_heartbeat_are_none(self):
        event = load(Route.HEARTBEAT, status_type="OK")

        assert (event.call_sid, event.view.start_ts) == (None, None)

    @pytest.mark.parametrize("name", ["CallSid", "call_details[sid]", "call_details[call_sid]"])
    def test_can_have_the_names_of_any_dialect(self, name):
        assert load(Route.CALL_END, (name, "s1")).call_sid == "s1"

    @pytest.mark.parametrize("names", [("CallFrom", "CallTo"), ("FromNumber", "ToNumber"), ("From", "CallTo")])
    def test_of_a_start_can_have_other_names_for_the_numbers(self, names):
        event = load(Route.CALL_START, ("CallSid", "s1"), (names[0], "09876543210"), (names[1], ""))

        assert event.view.phone_from.value == "+919876543210"

    @pytest.mark.parametrize(
        "name",
        [
            *("Status", "CallType", "DialCallStatus", "CallState", "CallDetail", "EventType", "Stream"),
            *("Stream[Status]", "event_details[event_type]", "call_details[status]", "call_details[state]"),
        ],
    )
    def test_of_a_status_can_be_a_status_state_or_event_of_any_dialect(self, name):
        event = load(Route.CALL_STATUS, ("CallSid", "s1"), ("CallStatus", ""), (name, "brand-new"))

        assert event.view.phase is Phase.INITIATED

    @pytest.mark.parametrize("name", ["CallFrom", "FromNumber"])
    @pytest.mark.parametrize("number", [("", "a\0"), ("[0]", "1")])
    def test_are_refused_under_their_plain_name(self, name, number):
        suffix, text = number

        assert set(refusal(Route.CALL_START, (name + suffix, text), CallSid="s1", To="1").details) == {"From"}

    @given(
        st.sampled_from(Route),
        st.lists(
            st.tuples(
                st.sampled_from([*NAMES, "CallSid"]) | st.text(max_size=8),
                st.sampled_from(WORDS) | st.text(max_size=20),
            )
        ),
    )
    def test_raise_only_validation_errors(self, route, pairs):
        with suppress(ValidationError):
            view = load(route, *pairs).view

            assert view.join(view) == view

    @given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=5))
    def test_are_the_only_reason_to_refuse(self, others):
        others = {name: text for name, text in others.items() if name.partition("[")[0] not in IDENTITY}

        assert load(Route.CALL_START, **{**others, **IDENTITY}).call_sid == "s1"


class TestProgress:
    @pytest.mark.parametrize(
        ("word", "phase", "evidence"),
        [
            ("queued", "initiated", "none"),
            ("ringing", "ringing", "none"),
            ("in-progress", "in-progress", "none"),
            ("completed", "over", "completed"),
            ("COMPLETED", "over", "completed"),
            ("busy", "over", "busy"),
            ("no-answer", "over", "no-answer"),
            ("failed", "over", "failed"),
            ("canceled", "over", "canceled"),
            ("a", "initiated", "none"),
            ("null", "initiated", "none"),
        ],
    )
    def test_follows_the_status_word(self, word, phase, evidence):
        view = load(Route.CALL_STATUS, CallSid="s1", CallStatus=word).view

        assert (view.phase, view.evidence) == (Phase(phase), Evidence(evidence))

    @pytest.mark.parametrize("word", ["completed", "in-progress", "nonsense", ""])
    def test_is_over_on_the_route_call_end_whatever_the_status(self, word):
        assert load(Route.CALL_END, CallSid="s1", CallStatus=word).view.phase is Phase.OVER

    @pytest.mark.parametrize("route", [Route.CALL_START, Route.PASSTHRU, Route.RECORDING])
    def test_is_never_over_on_the_routes_of_a_running_flow(self, route):
        view = load(route, **{**IDENTITY, "CallStatus": "no-answer"}).view

        assert (view.phase, view.evidence) == (Phase.IN_PROGRESS, Evidence.NO_ANSWER)


class TestView:
    def test_holds_numbers_as_e164_with_their_source(self):
        view = load(Route.CALL_START, **IDENTITY).view

        assert view.phone_from == Sourced(Source.PASSTHRU, "+919876543210")
        assert view.phone_to == Sourced(Source.PASSTHRU, "+918047112345")

    @pytest.mark.parametrize("raw", ["+14155550123", " 14155550123"])
    def test_reads_a_plus_that_was_not_escaped(self, raw):
        assert load(Route.CALL_START, **{**IDENTITY, "From": raw}).view.phone_from.value == "+14155550123"

    def test_trusts_a_callback_more_than_a_flow(self):
        assert load(Route.CALL_STATUS, **IDENTITY).view.phone_from.source is Source.STATUS_CALLBACK

    @pytest.mark.parametrize("raw", ["sip:agent7", "55x55"])
    def test_keeps_text_that_is_not_a_number_unchanged(self, raw):
        assert load(Route.CALL_START, **{**IDENTITY, "From": raw}).view.phone_from.value == raw

    @pytest.mark.parametrize("raw", ["1" * 500, "12\x07"])
    def test_excludes_long_and_unprintable_numbers(self, raw):
        assert load(Route.CALL_START, **{**IDENTITY, "From": raw}).view.phone_from is None

    @pytest.mark.parametrize(
        ("word", "direction"),
        [
            ("incoming", Direction.INBOUND),
            ("inbound", Direction.INBOUND),
            ("Outbound-API", Direction.OUTBOUND),
            ("outbound-dial", Direction.OUTBOUND),
            ("sideways", None),
            ("", None),
        ],
    )
    def test_reads_the_direction(self, word, direction):
        sourced = load(Route.CALL_START, Direction=word, **IDENTITY).view.direction

        assert (sourced and sourced.value) is direction

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", 0),
            (" 61 ", 61),
            ("86400", 86400),
            ("86401", None),
            ("-1", None),
            ("1e3", None),
            ("", None),
            ("६", None),
            ("\x1c5", 5),
        ],
    )
    def test_reads_a_duration_up_to_a_day(self, text, seconds):
        sourced = load(Route.CALL_END, CallSid="s1", CallDuration=text).view.call_seconds

        assert (sourced.value if sourced else None) == seconds

    @pytest.mark.parametrize(
        ("link", "kept"),
        [
            ("https://recordings.exotel.com/a/1.mp3", True),
            ("HTTP://recordings.exotel.com/1.mp3", True),
            ("javascript:alert(1)", False),
            ("ftp://host/1.mp3", False),
            ("null", False),
            ("https://host/a b", False),
            ("https://host/" + "a" * 2048, False),
            ("", False),
        ],
    )
    def test_keeps_a_recording_only_if_it_is_a_web_link(self, link, kept):
        sourced = load(Route.RECORDING, CallSid="s1", RecordingUrl=link).view.recording_url

        assert (sourced.value if sourced else None) == (link if kept else None)

    def test_starts_and_ends_with_the_arrival_if_no_time_was_sent(self):
        view = load(Route.CALL_END, CallSid="s1").view

        assert view.start_ts == view.end_ts == Sourced(Source.ARRIVAL, ARRIVAL.at)

    @pytest.mark.parametrize(
        ("names", "called"),
        [
            ({"CallTo": "08047112345", "To": "09876543210"}, "+918047112345"),
            ({"CallTo": "", "To": "08047112345"}, "+918047112345"),
            ({"ToNumber": "08047112345", "VirtualNumber": "08000000010"}, "+918047112345"),
        ],
    )
    def test_reads_the_called_number_under_any_of_its_names(self, names, called):
        assert load(Route.CALL_END, CallSid="s1", **names).view.phone_to.value == called

    @pytest.mark.parametrize(
        ("source", "fields"),
        [
            (Source.PASSTHRU, {"StartTime": "2026-11-22 14:25:00", "CallType": "call-attempt"}),
            (Source.PASSTHRU, {"Created": "Sun, 22 Nov 2026 14:25:00"}),
            (Source.STATUS_CALLBACK, {"DateCreated": "2026-11-22 14:25:00", "StartTime": "1970-01-01 05:30:00"}),
            (Source.STATUS_CALLBACK, {"StartTime": "2026-11-22T08:55:00Z", "CallState": "active"}),
            (Source.STATUS_CALLBACK, {"call_details[start_time]": "2026-11-22 14:25:00+05:30"}),
        ],
    )
    def test_reads_the_start_of_every_dialect(self, source, fields):
        view = load(Route.CALL_STATUS, *fields.items(), CallSid="s1", Status="ringing").view

        assert view.start_ts == Sourced(source, datetime(2026, 11, 22, 8, 55, tzinfo=UTC))

    def test_reads_the_end_of_a_callback(self):
        view = load(Route.CALL_STATUS, CallSid="s1", Status="completed", EndTime="2026-11-22 14:29:00").view

        assert view.end_ts == Sourced(Source.STATUS_CALLBACK, datetime(2026, 11, 22, 8, 59, tzinfo=UTC))

    @pytest.mark.parametrize(
        "name", ["CallRecordings", "Stream[RecordingUrl]", "Stream"], ids=["integration", "stream", "stream in JSON"]
    )
    def test_reads_the_recording_of_every_dialect(self, name):
        link = "https://recordings.exotel.com/1.mp3"
        text = f'{{"RecordingUrl": "{link}"}}' if name == "Stream" else link

        view = load(Route.PASSTHRU, (name, text), CallSid="s1", RecordingUrl="null").view

        assert view.recording_url.value == link

    def test_reads_the_duration_of_integration_core(self):
        view = load(Route.CALL_STATUS, CallSid="s1", CallState="terminal", TotalDuration="10").view

        assert (view.talk_seconds, view.call_seconds.value) == (None, 10)

    def test_has_no_end_while_the_call_is_open(self):
        assert load(Route.CALL_STATUS, CallSid="s1", CallStatus="ringing").view.end_ts is None


class TestDialled:
    """The client's own number, which tells the owner of a delivery without a key."""

    @pytest.mark.parametrize(
        ("fields", "dialled"),
        [
            (
                {"CallTo": "08000000010", "To": "09500000099", "Direction": "outbound-dial", "CallType": "x"},
                "08000000010",
            ),
            ({"To": "+919000000001", "PhoneNumberSid": "08000000010", "Direction": "outbound-api"}, "08000000010"),
            ({"To": "+919000000001", "Status": "completed", "Direction": "outbound-api"}, None),
            ({"ToNumber": "09000000002", "VirtualNumber": "08000000010", "Direction": "outbound"}, "08000000010"),
            ({"ToNumber": "08000000010", "CallState": "active", "Direction": "incoming"}, "08000000010"),
            ({"call_details[virtual_number]": "08000000010"}, "08000000010"),
            ({"To": " 918000000010"}, " 918000000010"),
            ({"To": ""}, None),
        ],
    )
    def test_depends_on_the_dialect(self, fields, dialled):
        assert load(Route.CALL_END, *fields.items(), CallSid="s1").dialled == dialled


def test_the_first_of_a_repeated_name_counts():
    event = load(Route.CALL_END, ("CallSid", "s1"), ("CallSid", "s2"))

    assert event.call_sid == "s1"
    assert event.parameters == [("CallSid", "s1"), ("CallSid", "s2")]


class TestCdr:
    def test_has_times_of_old_calls(self):
        long_ago = {"StartTime": "2024-02-01 10:00:00", "EndTime": "2024-02-01 10:01:00", "Duration": "60"}

        view = load(Route.CDR, CallSid="s1", Status="completed", **long_ago).view

        assert view.start_ts == (Source.API, datetime(2024, 2, 1, 4, 30, tzinfo=UTC))
        assert view.end_ts == (Source.API, datetime(2024, 2, 1, 4, 31, tzinfo=UTC))
        assert view.call_seconds == (Source.API, 60)

    @pytest.mark.parametrize("text", ["", "1970-01-01 05:30:00", "0001-01-01 00:00:00", "2099-01-01 00:00:00"])
    def test_without_a_time_does_not_use_the_arrival(self, text):
        view = load(Route.CDR, CallSid="s1", Status="completed", StartTime=text, EndTime=text).view

        assert (view.start_ts, view.end_ts) == (None, None)
