"""The deliveries that Exotel sends for each kind of call. Pure: sends nothing.

Written from docs/exotel-protocol.md, sections 3 to 5 and 15, not from `payload`, so that the two check each other.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from random import Random
from urllib.parse import urlencode

from calyapp.calls.event import Route
from calyapp.calls.state import CallOutcome, CallStatus

FORM, JSON = "multipart/form-data", "application/json"
_INDIA = timezone(timedelta(hours=5, minutes=30))
_END_PLACEHOLDER = "1970-01-01 05:30:00"  # section 2.3
_BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"

Fields = dict[str, str]


class Scenario(StrEnum):
    """A kind of call. Section 15 of the protocol page lists what arrives for each."""

    VOICEBOT = "voicebot"
    MISSED = "missed"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    VOICEMAIL = "voicemail"
    SECOND_AGENT = "second-agent"
    OUTBOUND = "outbound"
    STREAM_FAILURE = "stream-failure"


EXPECTED_END: dict[Scenario, tuple[CallStatus, CallOutcome]] = {
    Scenario.VOICEBOT: (CallStatus.COMPLETED, CallOutcome.ANSWERED),
    Scenario.MISSED: (CallStatus.NO_ANSWER, CallOutcome.MISSED),
    Scenario.REJECTED: (CallStatus.BUSY, CallOutcome.REJECTED),
    Scenario.ABANDONED: (CallStatus.CANCELED, CallOutcome.ABANDONED),
    Scenario.VOICEMAIL: (CallStatus.COMPLETED, CallOutcome.VOICEMAIL),
    Scenario.SECOND_AGENT: (CallStatus.COMPLETED, CallOutcome.ANSWERED),
    Scenario.OUTBOUND: (CallStatus.COMPLETED, CallOutcome.ANSWERED),
    Scenario.STREAM_FAILURE: (CallStatus.FAILED, CallOutcome.FAILED),
}
"""The final status and outcome of the stored call after all its deliveries, in any order."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request of Exotel. Without a content type the pairs are the query. JSON nests names with brackets."""

    call_sid: str
    route: Route
    method: str
    content_type: str | None
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One call and its deliveries, in the order of events."""

    scenario: Scenario
    call_sid: str
    deliveries: tuple[Delivery, ...]


def call(scenario: Scenario, number: str, passthru_url: str, began: datetime, rng: Random) -> Call:
    """Returns a call to or from the client's number (E.164). The same seed gives the same call.

    `passthru_url` includes the webhook key: Exotel repeats it to the applet after a Passthru (section 5.1).
    """
    formats: list[Callable[[str], str]] = [_national, str]
    in_format = rng.choice(formats)
    builder = _DeliveryBuilder(
        call_sid=_call_sid(began, rng),
        customer=in_format(f"+91{rng.randrange(7_000_000_000, 10_000_000_000)}"),
        exophone=in_format(number),
        agents=(_national(f"+919{rng.randrange(10**9):09}"), f"sip:agent{rng.randrange(100)}"),
        began=began.astimezone(_INDIA),
        talk_seconds=rng.randrange(1, 600),
        passthru_url=passthru_url,
        callback_type=rng.choice([FORM, JSON]),
    )
    return Call(scenario, builder.call_sid, tuple(_SCENARIO_DELIVERIES[scenario](builder)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _DeliveryBuilder:
    """The parties of a call, and the deliveries of each applet about them. Times count seconds from its begin."""

    call_sid: str
    customer: str
    exophone: str
    agents: tuple[str, str]
    began: datetime
    talk_seconds: int
    passthru_url: str
    callback_type: str

    def passthru(self, route: Route, second: int, fields: Fields) -> Delivery:
        """The query of a Passthru applet: section 3.1."""
        parameters = {
            **self._parties(),
            "DialCallDuration": "0",
            "StartTime": self.time(0),
            "EndTime": _END_PLACEHOLDER,
            "CallType": "call-attempt",
            "flow_id": "100001",
            "tenant_id": "200001",
            "CurrentTime": self.time(second),
        }
        return self._delivery(route, None, parameters | fields)

    def voicebot(self, second: int) -> Delivery:
        """The request for a stream, which repeats the URL of the Passthru before it: section 5.1."""
        passthru_url = f"{self.passthru_url}&{urlencode(self._parties())}"
        parameters = {
            **self._parties(),
            "HangupLatencyStartTimeExocc": "",
            "HangupLatencyStartTime": "",
            "CurrentTime": self.time(second),
            "passthru": json.dumps(passthru_url).replace("/", r"\/"),
        }
        return self._delivery(Route.CALL_START, None, parameters)

    def callback(self, event: str, second: int, fields: Fields) -> Delivery:
        """A StatusCallback with events, of a call that was ordered through the API: section 4.2."""
        parameters = {
            "CallSid": self.call_sid,
            "EventType": event,
            "DateCreated": self.time(0),
            "DateUpdated": self.time(second),
            "To": self.customer,
            "From": self.agents[0],
            "PhoneNumberSid": self.exophone,
            "StartTime": self.time(5),
            "EndTime": "",
            "Direction": "outbound-api",
            "CustomField": "order-4711",
        }
        return self._delivery(Route.CALL_STATUS, self.callback_type, parameters | fields)

    def recording_callback(self, second: int) -> Delivery:
        """A late StatusCallback with the default fields, among them the URL of the recording: section 4.2."""
        parameters = {"CallSid": self.call_sid, "Status": "completed", "RecordingUrl": self.recording_url}
        return self._delivery(Route.CALL_STATUS, FORM, parameters | {"DateUpdated": self.time(second)})

    @property
    def recording_url(self) -> str:
        return f"https://recordings.exotel.com/exotelrecordings/acct-demo/{self.call_sid}.mp3"

    def time(self, second: int) -> str:
        return f"{self.began + timedelta(seconds=second):%Y-%m-%d %H:%M:%S}"

    def _parties(self) -> Fields:
        return {
            "CallSid": self.call_sid,
            "CallFrom": self.customer,
            "CallTo": self.exophone,
            "Direction": "incoming",
            "Created": f"{self.began:%a, %d %b %Y %H:%M:%S}",
            "DialWhomNumber": "",
            "From": self.customer,
            "To": self.exophone,
        }

    def _delivery(self, route: Route, content_type: str | None, fields: Fields) -> Delivery:
        method = "POST" if content_type else "GET"
        return Delivery(self.call_sid, route, method, content_type, tuple(fields.items()))


def _voicebot(builder: _DeliveryBuilder) -> list[Delivery]:
    stream = {"StreamSID": builder.call_sid[::-1], "Status": "completed", "Duration": str(builder.talk_seconds)}
    end_second = 8 + builder.talk_seconds
    return [
        builder.passthru(Route.PASSTHRU, 4, {"digits": '"110001"'}),
        builder.voicebot(6),
        builder.passthru(Route.PASSTHRU, end_second, {"Stream": json.dumps(stream | {"DisconnectedBy": "user"})}),
        builder.passthru(Route.CALL_END, end_second + 1, {}),
    ]


def _stream_failure(builder: _DeliveryBuilder) -> list[Delivery]:
    stream = {"Status": "failed", "Duration": "0", "DisconnectedBy": "NA", "Error": "3009 failed to reach the bot"}
    return [
        builder.passthru(Route.PASSTHRU, 2, {}),
        builder.voicebot(3),
        builder.passthru(Route.PASSTHRU, 14, {f"Stream[{name}]": text for name, text in stream.items()}),
        builder.passthru(Route.CALL_END, 15, {}),
    ]


def _missed(builder: _DeliveryBuilder) -> list[Delivery]:
    return _connected(builder, 32, _unanswered(builder.agents[0], "no-answer", "NO_ANSWER", 30))


def _rejected(builder: _DeliveryBuilder) -> list[Delivery]:
    return _connected(builder, 9, _unanswered(builder.agents[1], "busy", "USER_BUSY", 5))


def _abandoned(builder: _DeliveryBuilder) -> list[Delivery]:
    dialled = _unanswered(builder.agents[0], "canceled", "ORIGINATOR_CANCEL", 11)
    return _connected(builder, 13, dialled | {"CallType": "client-hangup"})


def _voicemail(builder: _DeliveryBuilder) -> list[Delivery]:
    message = {
        "CallType": "voicemail",
        "RecordingUrl": builder.recording_url,
        "RecordingAvailableBy": builder.time(400),
    }
    return [
        *_connected(builder, 32, _unanswered(builder.agents[0], "no-answer", "NO_ANSWER", 30))[:-1],
        builder.passthru(Route.CALL_END, 70, message | {"DialCallStatus": "no-answer"}),
    ]


def _second_agent(builder: _DeliveryBuilder) -> list[Delivery]:
    end_second = 40 + builder.talk_seconds
    first, second = builder.agents
    answered = {
        "CallType": "completed",
        "DialWhomNumber": second,
        "DialCallStatus": "completed",
        "DialCallDuration": str(builder.talk_seconds + 6),
        "RecordingUrl": builder.recording_url,
        "RecordingAvailableBy": builder.time(end_second + 300),
        "Legs[0][Number]": second,
        "Legs[0][Type]": "single",
        "Legs[0][OnCallDuration]": str(builder.talk_seconds),
        "Legs[0][CauseCode]": "NORMAL_CLEARING",
    }
    return [
        *_connected(builder, 32, _unanswered(first, "no-answer", "NO_ANSWER", 30))[:-1],
        builder.passthru(Route.PASSTHRU, end_second, answered),
        builder.passthru(Route.CALL_END, end_second + 1, answered),
    ]


def _outbound(builder: _DeliveryBuilder) -> list[Delivery]:
    end_second = 12 + builder.talk_seconds
    finished = {
        "Status": "completed",
        "EndTime": builder.time(end_second),
        "ConversationDuration": str(builder.talk_seconds),
        "Legs[0][Status]": "completed",
        "Legs[0][OnCallDuration]": str(builder.talk_seconds + 7),
        "Legs[1][Status]": "completed",
        "Legs[1][OnCallDuration]": str(builder.talk_seconds),
    }
    one_leg = {"Status": "in-progress", "Legs[0][Status]": "in-progress", "Legs[1][Status]": ""}
    return [
        builder.callback("answered", 5, one_leg),
        builder.callback("answered", 12, one_leg | {"Legs[1][Status]": "in-progress"}),
        builder.callback("terminal", end_second + 1, finished),
        builder.recording_callback(end_second + 90),
    ]


def _connected(builder: _DeliveryBuilder, second: int, leg: Fields) -> list[Delivery]:
    """A call whose flow dials an agent: its start, the result of the leg, its end."""
    return [
        builder.passthru(Route.CALL_START, 1, {"CallStatus": "ringing"}),
        builder.passthru(Route.PASSTHRU, second, leg),
        builder.passthru(Route.CALL_END, second + 1, leg),
    ]


def _unanswered(agent: str, status: str, cause: str, ring_seconds: int) -> Fields:
    return {
        "CallType": "incomplete",
        "DialWhomNumber": agent,
        "DialCallStatus": status,
        "DialCallDuration": str(ring_seconds),
        "Legs[0][Number]": agent,
        "Legs[0][OnCallDuration]": "0",
        "Legs[0][CauseCode]": cause,
    }


_SCENARIO_DELIVERIES: dict[Scenario, Callable[[_DeliveryBuilder], list[Delivery]]] = {
    Scenario.VOICEBOT: _voicebot,
    Scenario.MISSED: _missed,
    Scenario.REJECTED: _rejected,
    Scenario.ABANDONED: _abandoned,
    Scenario.VOICEMAIL: _voicemail,
    Scenario.SECOND_AGENT: _second_agent,
    Scenario.OUTBOUND: _outbound,
    Scenario.STREAM_FAILURE: _stream_failure,
}


def _call_sid(began: datetime, rng: Random) -> str:
    """Returns 28 random characters and four for the date in Indian time: section 2.2."""
    date = began.astimezone(_INDIA)
    return f"{rng.getrandbits(112):028x}{date.year % 100:02x}{_BASE_36[date.month]}{_BASE_36[date.day]}"


def _national(number: str) -> str:
    return number.replace("+91", "0", 1)
