"""A delivery's parameters → a `CallEvent`. Everything that is known of Exotel's words and fields stands here.

Sections refer to Exotel's wire protocol as it was observed (Passthru 3, StatusCallback 4).
"""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from marshmallow import EXCLUDE, Schema, fields, validate

from calyapp import phone, validation
from calyapp.calls.event import Arrival, CallEvent, Pairs, Route, digest
from calyapp.calls.state import CallView, Direction, Evidence, Phase, Source, Sourced

LONGEST_CALL_SECONDS = 86_400
_LONGEST_NUMBER = 64
_LONGEST_URL = 2_048

_STATUS: dict[str, tuple[Phase, Evidence]] = {
    "queued": (Phase.INITIATED, Evidence.NONE),
    "initiated": (Phase.INITIATED, Evidence.NONE),
    "ringing": (Phase.RINGING, Evidence.NONE),
    "in-progress": (Phase.IN_PROGRESS, Evidence.NONE),
    "completed": (Phase.OVER, Evidence.COMPLETED),
    "failed": (Phase.OVER, Evidence.FAILED),
    "busy": (Phase.OVER, Evidence.BUSY),
    "no-answer": (Phase.OVER, Evidence.NO_ANSWER),
    "canceled": (Phase.OVER, Evidence.CANCELED),
}
"""The words of `CallStatus` (section 2). Others are met in the wild and say nothing."""

_DIRECTION = {
    "inbound": Direction.INBOUND,
    "incoming": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
    "outbound-api": Direction.OUTBOUND,
    "outbound-dial": Direction.OUTBOUND,
}
"""The same call is `incoming` in a flow and `inbound` in a callback (section 2)."""

_SOURCE = {
    Route.CALL_START: Source.PASSTHRU,
    Route.PASSTHRU: Source.PASSTHRU,
    Route.CALL_STATUS: Source.STATUS_CALLBACK,
    Route.CALL_END: Source.STATUS_CALLBACK,
    Route.RECORDING: Source.STATUS_CALLBACK,
}


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
}


def load(route: Route, parameters: Pairs, arrival: Arrival, client_id: UUID | None) -> CallEvent:
    """The event that a delivery is. Raises `ValidationError` naming every field that is missing or malformed."""
    known = _checked(route, parameters)
    return CallEvent(
        route=route,
        parameters=parameters,
        digest=digest(route, parameters),
        arrival=arrival,
        client_id=client_id,
        call_sid=known.get("CallSid"),
        dialled=known.get("To"),
        view=_view(route, known, arrival),
    )


def _checked(route: Route, parameters: Pairs) -> Mapping[str, str]:
    given: dict[str, object] = {}
    for name, text in parameters:
        plain, bracket, _ = name.partition("[")
        # `CallSid[0]` is how a list or an object under `CallSid` arrives.
        given.setdefault(plain, [] if bracket else text)
    return validation.load(_SCHEMA[route], given)


def _view(route: Route, known: Mapping[str, str], arrival: Arrival) -> CallView:
    """What the delivery says of the call; what makes no sense says nothing."""
    if route is Route.HEARTBEAT:
        return CallView()
    source = _SOURCE[route]
    phase, evidence = _progress(route, known.get("CallStatus", ""))
    return CallView(
        phase=phase,
        evidence=evidence,
        phone_from=_sourced(source, _number(known.get("From"))),
        phone_to=_sourced(source, _number(known.get("To"))),
        direction=_sourced(source, _DIRECTION.get(known.get("Direction", "").lower())),
        start_ts=Sourced(Source.ARRIVAL, arrival.at),
        end_ts=Sourced(Source.ARRIVAL, arrival.at) if phase is Phase.OVER else None,
        call_seconds=_sourced(source, _seconds(known.get("CallDuration"))),
        recording_url=_sourced(source, _link(known.get("RecordingUrl"))),
    )


def _progress(route: Route, status: str) -> tuple[Phase, Evidence]:
    phase, evidence = _STATUS.get(status.lower(), (Phase.INITIATED, Evidence.NONE))
    if route in (Route.CALL_START, Route.PASSTHRU, Route.RECORDING):
        # These come out of a flow that is still running, or speak of something else: evidence, never the end.
        return (Phase.IN_PROGRESS if phase is Phase.OVER else phase), evidence
    return (Phase.OVER if route is Route.CALL_END else phase), evidence


def _sourced(source: Source, value: Any) -> Sourced | None:
    return None if value is None else Sourced(source, value)


def _number(raw: str | None) -> str | None:
    """E.164 where it is a number, the text as it came for the rest (`sip:agent`), None for a withheld one."""
    # Unstripped: a blank at the beginning is a plus that was not escaped.
    number = phone.e164(raw or "")
    text = (raw or "").strip()
    if number or phone.withheld(text):
        return number
    return text if _is_printable(text, _LONGEST_NUMBER) else None


def _seconds(raw: str | None) -> int | None:
    text = (raw or "").strip()
    if not re.fullmatch(r"[0-9]{1,5}", text):
        return None
    seconds = int(text)
    return seconds if seconds <= LONGEST_CALL_SECONDS else None


def _link(raw: str | None) -> str | None:
    text = (raw or "").strip()
    web = text.lower().startswith(("https://", "http://"))
    return text if web and _is_printable(text, _LONGEST_URL) and " " not in text else None


def _is_printable(text: str, longest: int) -> bool:
    return 0 < len(text) <= longest and text.isprintable()
