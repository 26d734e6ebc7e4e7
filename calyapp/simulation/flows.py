"""Telephone calls as Exotel would report them: the deliveries of each kind of call, in Exotel's dialects. Pure.

Written from the wire protocol, not from `payload`, which it is there to test. It sends nothing.
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
_STILL_RUNNING = "1970-01-01 05:30:00"
_BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"

Fields = dict[str, str]


class Flow(StrEnum):
    """What becomes of a call."""

    VOICEBOT = "voicebot"
    MISSED = "missed"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    VOICEMAIL = "voicemail"
    SECOND_AGENT = "second-agent"
    OUTBOUND = "outbound"
    STREAM_FAILURE = "stream-failure"


ENDS: dict[Flow, tuple[CallStatus, CallOutcome]] = {
    Flow.VOICEBOT: (CallStatus.COMPLETED, CallOutcome.ANSWERED),
    Flow.MISSED: (CallStatus.NO_ANSWER, CallOutcome.MISSED),
    Flow.REJECTED: (CallStatus.BUSY, CallOutcome.REJECTED),
    Flow.ABANDONED: (CallStatus.CANCELED, CallOutcome.ABANDONED),
    Flow.VOICEMAIL: (CallStatus.COMPLETED, CallOutcome.VOICEMAIL),
    Flow.SECOND_AGENT: (CallStatus.COMPLETED, CallOutcome.ANSWERED),
    Flow.OUTBOUND: (CallStatus.COMPLETED, CallOutcome.ANSWERED),
    Flow.STREAM_FAILURE: (CallStatus.FAILED, CallOutcome.FAILED),
}
"""How the record of a call must end once all of its deliveries came, in whatever order."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request of Exotel's; without a content type its pairs travel in the query. JSON nests bracket names."""

    call_sid: str
    route: Route
    method: str
    content_type: str | None
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One call and all that Exotel sends about it, in the order of events."""

    flow: Flow
    call_sid: str
    deliveries: tuple[Delivery, ...]


def call(flow: Flow, number: str, passthru_url: str, began: datetime, chance: Random) -> Call:
    """A call to or from the client's number (E.164), the same for the same seed.

    Exotel repeats `passthru_url`, key and all, to the applet that follows a Passthru.
    """
    spellings: list[Callable[[str], str]] = [_national, str]
    spell = chance.choice(spellings)
    scene = _Scene(
        call_sid=_call_sid(began, chance),
        customer=spell(f"+91{chance.randrange(7_000_000_000, 10_000_000_000)}"),
        exophone=spell(number),
        agents=(_national(f"+919{chance.randrange(10**9):09}"), f"sip:agent{chance.randrange(100)}"),
        began=began.astimezone(_INDIA),
        talked=chance.randrange(1, 600),
        passthru_url=passthru_url,
        callback_type=chance.choice([FORM, JSON]),
    )
    return Call(flow, scene.call_sid, tuple(_PLOTS[flow](scene)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """Who takes part in a call, and how Exotel puts it."""

    call_sid: str
    customer: str
    exophone: str
    agents: tuple[str, str]
    began: datetime
    talked: int
    passthru_url: str
    callback_type: str

    def passthru(self, route: Route, second: int, fields: Fields) -> Delivery:
        """A Passthru applet's query (section 3), so many seconds into the call."""
        known = {
            **self._parties(),
            "DialCallDuration": "0",
            "StartTime": self.time(0),
            "EndTime": _STILL_RUNNING,
            "CallType": "call-attempt",
            "flow_id": "100001",
            "tenant_id": "200001",
            "CurrentTime": self.time(second),
        }
        return self._delivery(route, None, known | fields)

    def voicebot(self, second: int) -> Delivery:
        """A Voicebot applet asks for its stream (section 5), and shows the Passthru that ran before it."""
        earlier = f"{self.passthru_url}&{urlencode(self._parties())}"
        known = {
            **self._parties(),
            "HangupLatencyStartTimeExocc": "",
            "HangupLatencyStartTime": "",
            "CurrentTime": self.time(second),
            "passthru": json.dumps(earlier).replace("/", r"\/"),
        }
        return self._delivery(Route.CALL_START, None, known)

    def callback(self, event: str, second: int, fields: Fields) -> Delivery:
        """A StatusCallback for a call that was ordered through the API (section 4)."""
        known = {
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
        return self._delivery(Route.CALL_STATUS, self.callback_type, known | fields)

    def announced_recording(self, second: int) -> Delivery:
        """The four fields of a StatusCallback without events, late, with the recording's address."""
        known = {"CallSid": self.call_sid, "CallStatus": "completed", "RecordingUrl": self.recording}
        return self._delivery(Route.CALL_STATUS, FORM, known | {"DateUpdated": self.time(second)})

    @property
    def recording(self) -> str:
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


def _voicebot(scene: _Scene) -> list[Delivery]:
    stream = {"StreamSID": scene.call_sid[::-1], "CallStatus": "completed", "Duration": str(scene.talked)}
    over = 8 + scene.talked
    return [
        scene.passthru(Route.PASSTHRU, 4, {"digits": '"110001"'}),
        scene.voicebot(6),
        scene.passthru(Route.PASSTHRU, over, {"Stream": json.dumps(stream | {"DisconnectedBy": "user"})}),
        scene.passthru(Route.CALL_END, over + 1, {}),
    ]


def _stream_failure(scene: _Scene) -> list[Delivery]:
    stream = {"CallStatus": "failed", "Duration": "0", "DisconnectedBy": "NA", "Error": "3009 failed to reach the bot"}
    return [
        scene.passthru(Route.PASSTHRU, 2, {}),
        scene.voicebot(3),
        scene.passthru(Route.PASSTHRU, 14, {f"Stream[{name}]": text for name, text in stream.items()}),
        scene.passthru(Route.CALL_END, 15, {}),
    ]


def _missed(scene: _Scene) -> list[Delivery]:
    return _connected(scene, 32, _unanswered(scene.agents[0], "no-answer", "NO_ANSWER", 30))


def _rejected(scene: _Scene) -> list[Delivery]:
    return _connected(scene, 9, _unanswered(scene.agents[1], "busy", "USER_BUSY", 5))


def _abandoned(scene: _Scene) -> list[Delivery]:
    gave_up = _unanswered(scene.agents[0], "canceled", "ORIGINATOR_CANCEL", 11)
    return _connected(scene, 13, gave_up | {"CallType": "client-hangup"})


def _voicemail(scene: _Scene) -> list[Delivery]:
    message = {"CallType": "voicemail", "RecordingUrl": scene.recording, "RecordingAvailableBy": scene.time(400)}
    return [
        *_connected(scene, 32, _unanswered(scene.agents[0], "no-answer", "NO_ANSWER", 30))[:-1],
        scene.passthru(Route.CALL_END, 70, message | {"DialCallStatus": "no-answer"}),
    ]


def _second_agent(scene: _Scene) -> list[Delivery]:
    over = 40 + scene.talked
    first, second = scene.agents
    answered = {
        "CallType": "completed",
        "DialWhomNumber": second,
        "DialCallStatus": "completed",
        "DialCallDuration": str(scene.talked + 6),
        "RecordingUrl": scene.recording,
        "RecordingAvailableBy": scene.time(over + 300),
        "Legs[0][Number]": second,
        "Legs[0][Type]": "single",
        "Legs[0][OnCallDuration]": str(scene.talked),
        "Legs[0][CauseCode]": "NORMAL_CLEARING",
    }
    return [
        *_connected(scene, 32, _unanswered(first, "no-answer", "NO_ANSWER", 30))[:-1],
        scene.passthru(Route.PASSTHRU, over, answered),
        scene.passthru(Route.CALL_END, over + 1, answered),
    ]


def _outbound(scene: _Scene) -> list[Delivery]:
    over = 12 + scene.talked
    finished = {
        "CallStatus": "completed",
        "EndTime": scene.time(over),
        "ConversationDuration": str(scene.talked),
        "Legs[0][Status]": "completed",
        "Legs[0][OnCallDuration]": str(scene.talked + 7),
        "Legs[1][Status]": "completed",
        "Legs[1][OnCallDuration]": str(scene.talked),
    }
    one_leg = {"CallStatus": "in-progress", "Legs[0][Status]": "in-progress", "Legs[1][Status]": ""}
    return [
        scene.callback("answered", 5, one_leg),
        scene.callback("answered", 12, one_leg | {"Legs[1][Status]": "in-progress"}),
        scene.callback("terminal", over + 1, finished),
        scene.announced_recording(over + 90),
    ]


def _connected(scene: _Scene, second: int, dialled: Fields) -> list[Delivery]:
    """A call whose flow rings an agent: its start, the agent's leg, its end."""
    return [
        scene.passthru(Route.CALL_START, 1, {"CallStatus": "ringing"}),
        scene.passthru(Route.PASSTHRU, second, dialled),
        scene.passthru(Route.CALL_END, second + 1, dialled),
    ]


def _unanswered(agent: str, status: str, cause: str, rang: int) -> Fields:
    return {
        "CallType": "incomplete",
        "DialWhomNumber": agent,
        "DialCallStatus": status,
        "DialCallDuration": str(rang),
        "Legs[0][Number]": agent,
        "Legs[0][OnCallDuration]": "0",
        "Legs[0][CauseCode]": cause,
    }


_PLOTS: dict[Flow, Callable[[_Scene], list[Delivery]]] = {
    Flow.VOICEBOT: _voicebot,
    Flow.MISSED: _missed,
    Flow.REJECTED: _rejected,
    Flow.ABANDONED: _abandoned,
    Flow.VOICEMAIL: _voicemail,
    Flow.SECOND_AGENT: _second_agent,
    Flow.OUTBOUND: _outbound,
    Flow.STREAM_FAILURE: _stream_failure,
}


def _call_sid(began: datetime, chance: Random) -> str:
    """28 characters of chance and four of the date in India (section 2)."""
    day = began.astimezone(_INDIA)
    return f"{chance.getrandbits(112):028x}{day.year % 100:02x}{_BASE_36[day.month]}{_BASE_36[day.day]}"


def _national(number: str) -> str:
    return number.replace("+91", "0", 1)
