"""A delivery's parameters → a `CallEvent`: the one door to Exotel's dialects.

What a delivery must carry stands here, and where numbers, times and links are found in it. What its words say of the
call's progress is for `dialects`.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from marshmallow import EXCLUDE, Schema, fields, validate

from calyapp import phone, validation
from calyapp.calls.event import Arrival, CallEvent, Pairs, Route, digest
from calyapp.calls.state import CallView, Direction, Phase, Source, Sourced
from calyapp.exotel import dialects, times
from calyapp.exotel.dialects import CALLER, Dialect, Reading
from calyapp.exotel.fields import Fields

_MAX_NUMBER_LENGTH = 64
_MAX_URL_LENGTH = 2_048

# Twins, by dialect. The number that was dialled is `CallTo`: on trial accounts `To` can be one that many share.
_CALLED = ("CallTo", "To", "ToNumber")
_EXOPHONE = ("PhoneNumberSid", "VirtualNumber", "call_details[virtual_number]")
_CALL_SIDS = ("CallSid", "call_details[call_sid]", "call_details[sid]")
_STARTED = ("StartTime", "Created", "DateCreated", "call_details[start_time]")
_ENDED = ("EndTime", "call_details[end_time]")
_LASTED = ("CallDuration", "TotalDuration", "call_details[total_duration]")
_LASTED_IN_CDR = ("Duration",)
_RECORDED = ("RecordingUrl", "CallRecordings")
_PROGRESS = (
    *("CallStatus", "Status", "EventType", "CallType", "DialCallStatus", "CallState", "CallDetail", "Stream[Status]"),
    *("event_details[event_type]", "call_details[status]", "call_details[state]"),
)

_DIRECTION = {
    "inbound": Direction.INBOUND,
    "incoming": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
    "outbound-api": Direction.OUTBOUND,
    "outbound-dial": Direction.OUTBOUND,
}
"""The same call is `incoming` in a flow and `inbound` in a callback (section 2)."""


_CALL_SID = validate.Regexp(r"\A[A-Za-z0-9_-]{1,64}\Z", error="must be 1 to 64 of A-Z, a-z, 0-9, _ and -.")
_NO_NUL = validate.Regexp(r"[^\0]*\Z", error="must not contain NUL.")
_NOT_EMPTY = validate.Length(min=1, error="is empty.")


def _text(*, required: bool = False, check: Any = ()) -> fields.String:
    messages: dict[str, Any] = {"required": "is missing.", "invalid": "must be a text, not a list or an object."}
    return fields.String(required=required, validate=check, error_messages=messages)


class _About(Schema):
    """What a delivery must carry to be of use, and which fields must be texts. Nothing else is ever refused."""

    class Meta:
        unknown = EXCLUDE

    CallSid = _text(required=True, check=_CALL_SID)
    From = _text(check=_NO_NUL)
    To = _text(check=_NO_NUL)
    CallStatus = _text()
    Direction = _text()
    CallDuration = _text()
    RecordingUrl = _text()
    RecordingDuration = _text()


class _AboutStart(_About):
    From = _text(required=True, check=_NO_NUL)
    To = _text(required=True, check=_NO_NUL)


class _AboutStatus(_About):
    CallStatus = _text(required=True, check=_NOT_EMPTY)


_SCHEMA: dict[Route, Schema] = {
    Route.CALL_START: _AboutStart(),
    Route.CALL_STATUS: _AboutStatus(),
    Route.CALL_END: _About(),
    Route.RECORDING: _About(),
    Route.PASSTHRU: _About(),
    Route.HEARTBEAT: Schema(unknown=EXCLUDE),
    Route.CDR: _About(),
}


_TWINS: dict[str, tuple[str, ...]] = {name: (name,) for name in _About().fields}
_TWINS |= {"CallSid": _CALL_SIDS, "From": CALLER, "To": _CALLED}


def load(route: Route, parameters: Pairs, arrival: Arrival, client_id: UUID | None) -> CallEvent:
    """The event that a delivery is. Raises `ValidationError` naming every field that is missing or malformed."""
    given = Fields(parameters)
    known = validation.load(_SCHEMA[route], _judged(given))
    reading = None if route is Route.HEARTBEAT else dialects.read(route, given)
    return CallEvent(
        route=route,
        parameters=parameters,
        digest=digest(route, parameters),
        arrival=arrival,
        client_id=client_id,
        call_sid=known.get("CallSid"),
        dialled=_dialled(reading, given) if reading else None,
        view=_view(reading, given, arrival) if reading else CallView(),
    )


def _judged(given: Fields) -> dict[str, object]:
    """The fields of the schemas by their plain names, whichever twin they came under."""
    judged = {name: _shape(given, names) for name, names in _TWINS.items() if given.has(*names)}
    if not given.is_group("CallStatus") and (progress := given.text(*_PROGRESS, "Stream")):
        judged["CallStatus"] = progress
    return judged


def _shape(given: Fields, names: tuple[str, ...]) -> object:
    """A text; or a list, which no schema takes, where one of the twins is a list or an object."""
    return [] if any(given.is_group(name) for name in names) else given.raw(*names)


def _dialled(reading: Reading, given: Fields) -> str | None:
    """The client's number. Of a call that a callback reports as outbound, `To` is the customer's."""
    number = given.text(*_EXOPHONE)
    of_flow = reading.dialect in (Dialect.FLOW, Dialect.POPUP)
    if not number and (of_flow or _direction(given) is not Direction.OUTBOUND):
        number = given.text(*_CALLED)
    return number or None


def _view(reading: Reading, given: Fields, arrival: Arrival) -> CallView:
    """What the delivery says of the call; what makes no sense says nothing."""
    source, is_cdr = reading.source, reading.dialect is Dialect.CDR
    # A CDR export comes long after its calls: when it came says nothing of them, and they may be old.
    arrived = None if is_cdr else Sourced(Source.ARRIVAL, arrival.at)
    oldest = times.MAX_AGE_IN_CDR if is_cdr else times.MAX_AGE
    started, ended = (_first(given, names, arrival.at, oldest) for names in (_STARTED, _ENDED))
    return CallView(
        phase=reading.phase,
        evidence=reading.evidence,
        phone_from=_sourced(source, _number(given.text(*CALLER))),
        phone_to=_sourced(source, _number(given.text(*_CALLED))),
        direction=_sourced(source, _direction(given)),
        start_ts=_sourced(source, started) or arrived,
        end_ts=(_sourced(source, ended) or arrived) if reading.phase is Phase.OVER else None,
        talk_seconds=_sourced(source, reading.talk_seconds),
        call_seconds=_sourced(source, times.seconds(given.text(*(_LASTED_IN_CDR if is_cdr else _LASTED)))),
        recording_url=_sourced(source, _recording(given)),
    )


def _direction(given: Fields) -> Direction | None:
    return _DIRECTION.get(given.word("Direction", "call_details[direction]"))


def _first(given: Fields, names: tuple[str, ...], arrival: datetime, oldest: timedelta) -> datetime | None:
    """The first of the times that makes sense: a placeholder in one leaves the next its say."""
    moments = (times.instant(given.text(name), arrival, oldest) for name in names)
    return next(filter(None, moments), None)


def _recording(given: Fields) -> str | None:
    links = (*(given.text(name) for name in _RECORDED), given.group("Stream").text("RecordingUrl"))
    return next(filter(None, map(_link, links)), None)


def _sourced(source: Source, value: Any) -> Sourced | None:
    return None if value is None else Sourced(source, value)


def _number(raw: str) -> str | None:
    """E.164 where it is a number, the text as it came for the rest (`sip:agent`), None for a withheld one."""
    # Unstripped: a blank at the beginning is a plus that was not escaped.
    number = phone.e164(raw)
    text = raw.strip()
    if number or phone.withheld(text):
        return number
    return text if _is_printable(text, _MAX_NUMBER_LENGTH) else None


def _link(raw: str) -> str | None:
    text = raw.strip()
    web = text.lower().startswith(("https://", "http://"))
    return text if web and _is_printable(text, _MAX_URL_LENGTH) and " " not in text else None


def _is_printable(text: str, longest: int) -> bool:
    return 0 < len(text) <= longest and text.isprintable()
