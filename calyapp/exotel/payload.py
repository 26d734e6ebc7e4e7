"""Turns the parameters of a delivery into a `CallEvent`, whatever its dialect.

This module says what a delivery must carry, and which fields hold numbers, times and links. `dialects` reads the
progress of the call from the status words.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from marshmallow import EXCLUDE, Schema, fields, validate

from calyapp import phone, validation
from calyapp.calls.event import Arrival, CallEvent, Pairs, Route, digest
from calyapp.calls.state import CallView, Direction, Phase, Source, Sourced
from calyapp.exotel import dialects, times
from calyapp.exotel.dialects import CALLER_FIELDS, Dialect, Reading
from calyapp.exotel.fields import Fields

_MAX_NUMBER_LENGTH = 64
_MAX_URL_LENGTH = 2_048

# The names of one field in all dialects, the most reliable first. On trial accounts `To` can be a number that Exotel
# shares between accounts, while `CallTo` is the one that was dialled (docs/exotel-protocol.md, section 2.4).
_CALLED_FIELDS = ("CallTo", "To", "ToNumber")
_EXOPHONE_FIELDS = ("PhoneNumberSid", "VirtualNumber", "call_details[virtual_number]")
_CALL_SID_FIELDS = ("CallSid", "call_details[call_sid]", "call_details[sid]")
_START_TIME_FIELDS = ("StartTime", "Created", "DateCreated", "call_details[start_time]")
_END_TIME_FIELDS = ("EndTime", "call_details[end_time]")
_DURATION_FIELDS = ("CallDuration", "TotalDuration", "call_details[total_duration]")
_CDR_DURATION_FIELDS = ("Duration",)
_RECORDING_FIELDS = ("RecordingUrl", "CallRecordings")
_STATUS_FIELDS = (
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
"""The words for a direction differ by dialect: docs/exotel-protocol.md, section 2.5."""


_CALL_SID = validate.Regexp(r"\A[A-Za-z0-9_-]{1,64}\Z", error="must be 1 to 64 of A-Z, a-z, 0-9, _ and -.")
_NO_NUL = validate.Regexp(r"[^\0]*\Z", error="must not contain NUL.")
_NOT_EMPTY = validate.Length(min=1, error="is empty.")


def _text(*, required: bool = False, check: Any = ()) -> fields.String:
    messages: dict[str, Any] = {"required": "is missing.", "invalid": "must be a text, not a list or an object."}
    return fields.String(required=required, validate=check, error_messages=messages)


class _CallSchema(Schema):
    """What a delivery about a call must carry, and which fields must be texts. Nothing else is ever refused."""

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


class _CallStartSchema(_CallSchema):
    From = _text(required=True, check=_NO_NUL)
    To = _text(required=True, check=_NO_NUL)


class _CallStatusSchema(_CallSchema):
    CallStatus = _text(required=True, check=_NOT_EMPTY)


_SCHEMA: dict[Route, Schema] = {
    Route.CALL_START: _CallStartSchema(),
    Route.CALL_STATUS: _CallStatusSchema(),
    Route.CALL_END: _CallSchema(),
    Route.RECORDING: _CallSchema(),
    Route.PASSTHRU: _CallSchema(),
    Route.HEARTBEAT: Schema(unknown=EXCLUDE),
    Route.CDR: _CallSchema(),
}

_SCHEMA_FIELDS: dict[str, tuple[str, ...]] = {name: (name,) for name in _CallSchema().fields}
_SCHEMA_FIELDS |= {"CallSid": _CALL_SID_FIELDS, "From": CALLER_FIELDS, "To": _CALLED_FIELDS}
"""Each field of the schemas, with its names in all dialects."""


def load(route: Route, parameters: Pairs, arrival: Arrival, client_id: UUID | None) -> CallEvent:
    """Returns the event of a delivery. Raises `ValidationError` with every field that is missing or malformed."""
    sent = Fields(parameters)
    checked = validation.load(_SCHEMA[route], _schema_input(sent))
    reading = None if route is Route.HEARTBEAT else dialects.read(route, sent)
    return CallEvent(
        route=route,
        parameters=parameters,
        digest=digest(route, parameters),
        arrival=arrival,
        client_id=client_id,
        call_sid=checked.get("CallSid"),
        dialled=_dialled(reading, sent) if reading else None,
        view=_view(reading, sent, arrival) if reading else CallView(),
    )


def _schema_input(sent: Fields) -> dict[str, object]:
    """Returns the fields of the schemas that were sent, by their plain names."""
    values = {name: _text_or_list(sent, names) for name, names in _SCHEMA_FIELDS.items() if sent.has(*names)}
    # A status, state or event of any dialect satisfies the demand for a status.
    if not sent.is_group("CallStatus") and (status := sent.text(*_STATUS_FIELDS, "Stream")):
        values["CallStatus"] = status
    return values


def _text_or_list(sent: Fields, names: tuple[str, ...]) -> object:
    """Returns the text, or a list, which every schema refuses, if any of the names came as a list or an object."""
    return [] if any(sent.is_group(name) for name in names) else sent.raw(*names)


def _dialled(reading: Reading, sent: Fields) -> str | None:
    """Returns the client's number. In a callback about an outbound call, `To` is the customer's number instead."""
    number = sent.text(*_EXOPHONE_FIELDS)
    from_flow = reading.dialect in (Dialect.FLOW, Dialect.POPUP)
    if not number and (from_flow or _direction(sent) is not Direction.OUTBOUND):
        number = sent.text(*_CALLED_FIELDS)
    return number or None


def _view(reading: Reading, sent: Fields, arrival: Arrival) -> CallView:
    """Returns what the delivery says about the call. A value that makes no sense is left out."""
    source, is_cdr = reading.source, reading.dialect is Dialect.CDR
    # A CDR export is imported long after its calls: its arrival says nothing about them, and they may be old.
    arrived = None if is_cdr else Sourced(Source.ARRIVAL, arrival.at)
    max_age = times.MAX_AGE_IN_CDR if is_cdr else times.MAX_AGE
    started, ended = (
        _first_instant(sent, names, arrival.at, max_age) for names in (_START_TIME_FIELDS, _END_TIME_FIELDS)
    )
    return CallView(
        phase=reading.phase,
        evidence=reading.evidence,
        phone_from=_sourced(source, _number(sent.text(*CALLER_FIELDS))),
        phone_to=_sourced(source, _number(sent.text(*_CALLED_FIELDS))),
        direction=_sourced(source, _direction(sent)),
        start_ts=_sourced(source, started) or arrived,
        end_ts=(_sourced(source, ended) or arrived) if reading.phase is Phase.OVER else None,
        talk_seconds=_sourced(source, reading.talk_seconds),
        call_seconds=_sourced(
            source, times.seconds(sent.text(*(_CDR_DURATION_FIELDS if is_cdr else _DURATION_FIELDS)))
        ),
        recording_url=_sourced(source, _recording_url(sent)),
    )


def _direction(sent: Fields) -> Direction | None:
    return _DIRECTION.get(sent.word("Direction", "call_details[direction]"))


def _first_instant(sent: Fields, names: tuple[str, ...], arrival: datetime, max_age: timedelta) -> datetime | None:
    """Returns the first of these times that makes sense: one may be a placeholder, and the next a time."""
    instants = (times.instant(sent.text(name), arrival, max_age) for name in names)
    return next(filter(None, instants), None)


def _recording_url(sent: Fields) -> str | None:
    texts = (*(sent.text(name) for name in _RECORDING_FIELDS), sent.group("Stream").text("RecordingUrl"))
    return next(filter(None, map(_web_link, texts)), None)


def _sourced(source: Source, value: Any) -> Sourced | None:
    return None if value is None else Sourced(source, value)


def _number(raw: str) -> str | None:
    """Returns E.164 for a telephone number, None for a withheld one, and the text itself for others (`sip:agent`)."""
    # Not stripped: a leading space is a plus that was not escaped (docs/exotel-protocol.md, section 2.4).
    number = phone.e164(raw)
    text = raw.strip()
    if number or phone.withheld(text):
        return number
    return text if _is_printable(text, _MAX_NUMBER_LENGTH) else None


def _web_link(raw: str) -> str | None:
    text = raw.strip()
    is_web = text.lower().startswith(("https://", "http://"))
    return text if is_web and _is_printable(text, _MAX_URL_LENGTH) and " " not in text else None


def _is_printable(text: str, max_length: int) -> bool:
    return 0 < len(text) <= max_length and text.isprintable()
