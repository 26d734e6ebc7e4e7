"""Recognises the dialect of a delivery, and reads the progress of the call from its status words.

Exotel reports calls through several channels, each with a vocabulary of its own: a dialect. The same word means
different things in two dialects: `busy` is a busy line, an agent who rejects, or an agent who is being rung. This
module knows the words and the fields that hold them; numbers, times and links are for `payload`.

All sections cited here are those of docs/exotel-protocol.md; section 2.6 lists the words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from calyapp import phone
from calyapp.calls.event import Route
from calyapp.calls.state import Evidence, Phase, Source, rank
from calyapp.exotel import times
from calyapp.exotel.fields import Fields

CALLER_FIELDS = ("From", "CallFrom", "FromNumber")
"""The names of the field with the caller's number, over all dialects."""

Progress = tuple[Phase, Evidence]


class Dialect(Enum):
    """The channels that report a call, as docs/exotel-protocol.md names them."""

    FLOW = auto()
    """Passthru and the request for a stream. Sections 3 and 5.1."""
    POPUP = auto()
    """An agent is rung or released. Section 7.1."""
    STATUS_CALLBACK = auto()
    """StatusCallback v1. Section 4."""
    INTEGRATION_CORE = auto()
    """Softphones of agents. Section 7.2."""
    CCM = auto()
    """CCM v2 and v3: a JSON body with `call_details` and `event_details`. Section 7.6."""
    CDR = auto()
    """A row of the CDR export. Section 10.6."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a delivery says about the progress of its call, and how far to trust it."""

    dialect: Dialect
    source: Source
    phase: Phase
    evidence: Evidence
    talk_seconds: int | None


_UNKNOWN_PROGRESS: Progress = (Phase.INITIATED, Evidence.NONE)

_STATUS_PROGRESS: dict[str, Progress] = {
    "queued": (Phase.INITIATED, Evidence.NONE),
    "initiated": (Phase.INITIATED, Evidence.NONE),
    "ringing": (Phase.RINGING, Evidence.NONE),
    "in-progress": (Phase.IN_PROGRESS, Evidence.NONE),
    "completed": (Phase.OVER, Evidence.COMPLETED),
    "failed": (Phase.OVER, Evidence.FAILED),
    "busy": (Phase.OVER, Evidence.BUSY),
    "no-answer": (Phase.OVER, Evidence.NO_ANSWER),
    "canceled": (Phase.OVER, Evidence.CANCELED),
    "cancelled": (Phase.OVER, Evidence.CANCELED),
    "from-leg-unanswered": (Phase.OVER, Evidence.NO_ANSWER),
    "to-leg-unanswered": (Phase.OVER, Evidence.NO_ANSWER),
    "from-leg-cancelled": (Phase.OVER, Evidence.CANCELED),
    "from-leg-no-dial": (Phase.OVER, Evidence.FAILED),
    "to-leg-no-dial": (Phase.OVER, Evidence.FAILED),
}
"""Status words of calls and legs, spelt as `Fields.word` returns them. Other words occur, and say nothing."""

_AGENT_PROGRESS: dict[str, Progress] = {
    "busy": (Phase.RINGING, Evidence.NONE),
    "free": (Phase.INITIATED, Evidence.NONE),
}
"""Status words of an agent in popups and Integration Core: being rung, released. They never tell the outcome."""

_EVENT_PHASE = {
    "dial": Phase.RINGING,
    "ringing": Phase.RINGING,
    "answered": Phase.IN_PROGRESS,
    "terminal": Phase.OVER,
}
_CALL_TYPE_EVIDENCE = {
    "completed": Evidence.COMPLETED,
    "client-hangup": Evidence.CANCELED,
    "voicemail": Evidence.VOICEMAIL,
}
"""`incomplete` is missing on purpose: see `_flow_progress`."""

# A dialect is recognised by fields that only it has: the first match counts. `_dialect` decides about the rest. To add
# a dialect, put it before every dialect whose distinctive fields it also sends.
#
# dialect            section    phase from                                     evidence from
# CCM                7.6        status, state, event_type                      status, total_talk_time
# INTEGRATION_CORE   7.2        CallStatus, CallState, CallDetail              CallStatus
# STATUS_CALLBACK    4.2        Status, EventType                              Status, Legs[1], ConversationDuration
# FLOW               3.2, 5.1   CallStatus, and never over but at `call-end`   CallStatus, CallType, DialCallStatus,
#                                                                              Stream, Legs
# POPUP              7.1        Status, EventType, and never over              nothing
# CDR                10.6       Status                                         Status, Leg1Status, Leg2Status,
#                                                                              ConversationDuration
_DISTINCTIVE_FIELDS: tuple[tuple[Dialect, tuple[str, ...]], ...] = (
    (Dialect.CCM, ("call_details", "event_details")),
    (Dialect.INTEGRATION_CORE, ("CallState", "CallDetail", "VirtualNumber", "AppUserID", "ExotelAccountSid")),
    (Dialect.STATUS_CALLBACK, ("DateUpdated", "DateCreated", "PhoneNumberSid", "ConversationDuration")),
    (Dialect.FLOW, ("CallType", "DialCallStatus", "DialCallDuration", "Stream", "flow_id")),
)
_POPUP_AGENT_FIELDS = ("DialWhomNumber", "AgentEmail", "agent_email", "CurrentTime")
_SOURCE = {Dialect.FLOW: Source.PASSTHRU, Dialect.POPUP: Source.PASSTHRU, Dialect.CDR: Source.API}
_EVENT_FIELDS = ("EventType", "CallDetail", "event_details[event_type]")
_STATE_FIELDS = ("CallState", "call_details[state]")


def read(route: Route, fields: Fields) -> Reading:
    """Reads the dialect, phase, evidence and talk time. Unknown words say nothing and raise nothing.

    In doubt the call is not over: a late end is corrected by the next delivery, a false one never is, because phases
    only rise.
    """
    dialect = _dialect(route, fields)
    phase, evidence = _PROGRESS_READERS[dialect](fields)
    if route is Route.CALL_END and not _says_call_continues(dialect, fields):
        phase = Phase.OVER
    elif dialect is Dialect.FLOW or route in (Route.CALL_START, Route.PASSTHRU, Route.RECORDING):
        # A flow is still running when it sends these (section 2.3), and its status words are about a leg or a stream.
        # The status of a recording is not the call's either. So they are evidence, never the end.
        phase = min(phase, Phase.IN_PROGRESS, key=rank)
    return Reading(
        dialect, _SOURCE.get(dialect, Source.STATUS_CALLBACK), phase, evidence, _talk_seconds(dialect, fields)
    )


def _dialect(route: Route, fields: Fields) -> Dialect:
    if route is Route.CDR:
        return Dialect.CDR
    for dialect, distinctive in _DISTINCTIVE_FIELDS:
        if fields.has(*distinctive):
            return dialect
    # `Status` alone does not make a popup: the default StatusCallback has it too.
    has_agent_status = fields.has("Status", "EventType") and fields.has(*_POPUP_AGENT_FIELDS)
    if has_agent_status or fields.word("EventType") == "dial":
        return Dialect.POPUP
    if route in (Route.CALL_START, Route.PASSTHRU) or fields.has("CurrentTime", "Created"):
        return Dialect.FLOW
    return Dialect.STATUS_CALLBACK


def _says_call_continues(dialect: Dialect, fields: Fields) -> bool:
    """Whether the delivery overrules the route `call-end`: its dialect reports the end by itself, and this is not it.

    Users register one URL for all events of a channel, so `call-end` also receives the events before the end.
    """
    if dialect in (Dialect.POPUP, Dialect.INTEGRATION_CORE):
        return True
    has_open_event = _EVENT_PHASE.get(fields.word(*_EVENT_FIELDS), Phase.OVER) is not Phase.OVER
    return has_open_event or fields.word(*_STATE_FIELDS) == "active"


# ---- Phase and evidence, a function for each dialect ----


def _flow_progress(fields: Fields) -> Progress:
    """Section 3.2: the outcome shows in the combination of fields, so the strongest evidence among them counts."""
    phase, evidence = _STATUS_PROGRESS.get(fields.word("CallStatus", "Status"), _UNKNOWN_PROGRESS)
    call_type, dial_status = fields.word("CallType"), fields.word("DialCallStatus")
    evidences = [
        evidence,
        _CALL_TYPE_EVIDENCE.get(call_type, Evidence.NONE),
        # `incomplete` covers rejected and failed calls too, and no-answer outranks failed and canceled. So it counts
        # only where DialCallStatus, which is precise, is absent.
        Evidence.NO_ANSWER if call_type == "incomplete" and not dial_status else Evidence.NONE,
        _dialled_leg_evidence(dial_status),
        _stream_evidence(fields.group("Stream")),
        Evidence.ANSWERED if _agent_talk_seconds(fields) else Evidence.NONE,
    ]
    strongest = max(evidences, key=rank)
    return (phase if strongest is Evidence.NONE else Phase.IN_PROGRESS), strongest


def _popup_progress(fields: Fields) -> Progress:
    event = _EVENT_PHASE.get(fields.word("EventType"), Phase.INITIATED)
    agent, _ = _AGENT_PROGRESS.get(fields.word("Status"), _UNKNOWN_PROGRESS)
    # `Terminal` ends this agent's part. The flow may ring another agent next.
    return (agent if event is Phase.OVER else max(event, agent, key=rank)), Evidence.NONE


def _status_callback_progress(fields: Fields) -> Progress:
    """Section 4.2. `Legs[1]` is the customer, whose leg tells the outcome."""
    phase, evidence = _STATUS_PROGRESS.get(fields.word("CallStatus", "Status"), _UNKNOWN_PROGRESS)
    evidences = [
        evidence,
        _dialled_leg_evidence(_second_leg(fields).word("Status")),
        Evidence.ANSWERED if _conversation_seconds(fields) else Evidence.NONE,
    ]
    return _corrected_phase(phase, fields), max(evidences, key=rank)


def _integration_core_progress(fields: Fields) -> Progress:
    default = (_phase_without_status(fields), Evidence.NONE)
    phase, evidence = (_STATUS_PROGRESS | _AGENT_PROGRESS).get(fields.word("CallStatus"), default)
    return _corrected_phase(phase, fields), evidence


def _ccm_progress(fields: Fields) -> Progress:
    default = (_phase_without_status(fields), Evidence.NONE)
    phase, evidence = _STATUS_PROGRESS.get(fields.word("call_details[status]"), default)
    evidences = [evidence, Evidence.ANSWERED if _ccm_talk_seconds(fields) else Evidence.NONE]
    return _corrected_phase(phase, fields), max(evidences, key=rank)


def _cdr_progress(fields: Fields) -> Progress:
    """Sections 10.3 and 10.6: `Status` says completed for missed calls too, so the legs count."""
    phase, evidence = _STATUS_PROGRESS.get(fields.word("Status"), _UNKNOWN_PROGRESS)
    _, first_leg = _STATUS_PROGRESS.get(fields.word("Leg1Status"), _UNKNOWN_PROGRESS)
    evidences = [
        evidence,
        first_leg,  # completed stays completed here: it says nothing about the second leg
        _dialled_leg_evidence(fields.word("Leg2Status")),
        Evidence.ANSWERED if _conversation_seconds(fields) else Evidence.NONE,
    ]
    return phase, max(evidences, key=rank)


_PROGRESS_READERS: dict[Dialect, Callable[[Fields], Progress]] = {
    Dialect.FLOW: _flow_progress,
    Dialect.POPUP: _popup_progress,
    Dialect.STATUS_CALLBACK: _status_callback_progress,
    Dialect.INTEGRATION_CORE: _integration_core_progress,
    Dialect.CCM: _ccm_progress,
    Dialect.CDR: _cdr_progress,
}


def _phase_without_status(fields: Fields) -> Phase:
    return Phase.IN_PROGRESS if fields.word(*_STATE_FIELDS) == "active" else Phase.INITIATED


def _corrected_phase(phase: Phase, fields: Fields) -> Phase:
    """Corrects the phase of the status word by state and event, which are more reliable about the end.

    In this order: state terminal is the end; event terminal is the end unless the state is still active (Exotel
    processes the call, section 7.2); any other state or event keeps the call open, whatever the status word says.
    """
    state, event = fields.word(*_STATE_FIELDS), _EVENT_PHASE.get(fields.word(*_EVENT_FIELDS))
    if state == "terminal" or (event is Phase.OVER and state != "active"):
        return Phase.OVER
    if event is None and state != "active":
        return phase
    reached = event if event in (Phase.RINGING, Phase.IN_PROGRESS) else Phase.INITIATED
    return max(reached, min(phase, Phase.IN_PROGRESS, key=rank), key=rank)


def _dialled_leg_evidence(word: str) -> Evidence:
    """Returns the evidence of the status of the leg that was dialled. A completed one was answered."""
    evidence = _STATUS_PROGRESS.get(word, _UNKNOWN_PROGRESS)[1]
    return Evidence.ANSWERED if evidence is Evidence.COMPLETED else evidence


def _stream_evidence(stream: Fields) -> Evidence:
    """Where `Error` disagrees with `Status`, `Error` is right (section 3.1)."""
    if stream.word("Error") not in ("", "na", "none") or stream.word("Status") == "failed":
        return Evidence.FAILED
    duration = times.seconds(stream.text("Duration"))
    return Evidence.ANSWERED if stream.word("Status") == "completed" or duration else Evidence.NONE


# ---- Talk time. Never from `DialCallDuration`, which includes the ringing (section 3.1). ----


def _talk_seconds(dialect: Dialect, fields: Fields) -> int | None:
    if dialect in (Dialect.STATUS_CALLBACK, Dialect.CDR):
        return _conversation_seconds(fields)
    if dialect is Dialect.CCM:
        return _ccm_talk_seconds(fields)
    if dialect is Dialect.FLOW:
        stream = times.seconds(fields.group("Stream").text("Duration"))
        return max((talk for talk in (_agent_talk_seconds(fields), stream) if talk is not None), default=None)
    return None


def _agent_talk_seconds(fields: Fields) -> int | None:
    """Returns the talk time of the last leg that talked: the agents before it did not answer.

    The caller's own leg is left out, recognised by its number, because its index differs by account (section 3.1).
    """
    caller = phone.e164(fields.text(*CALLER_FIELDS))
    legs = [leg for leg in fields.members("Legs") if not caller or phone.e164(leg.text("Number")) != caller]
    talks = [times.seconds(leg.text("OnCallDuration")) for leg in legs]
    return next((talk for talk in reversed(talks) if talk), 0 if 0 in talks else None)


def _conversation_seconds(fields: Fields) -> int | None:
    """Returns how long both parties were connected. The first leg does not tell: it includes the second's ringing."""
    reported = times.seconds(fields.text("ConversationDuration"))
    return times.seconds(_second_leg(fields).text("OnCallDuration")) if reported is None else reported


def _second_leg(fields: Fields) -> Fields:
    return fields.group("Legs").group("1")


def _ccm_talk_seconds(fields: Fields) -> int | None:
    return times.seconds(fields.text("call_details[total_talk_time]"))
