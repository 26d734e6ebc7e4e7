"""Which of Exotel's dialects a delivery speaks, told by its own marks, and what it then says of the call's progress.

The same word differs by dialect: `busy` is a line, an agent who rejects, or one who is being rung (protocol
sections 2 to 7). Knows words and their fields; numbers, times and links are the payload's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from calyapp import phone
from calyapp.calls.event import Route
from calyapp.calls.state import Evidence, Phase, Source, rank
from calyapp.exotel import times
from calyapp.exotel.fields import Fields

CALLER = ("From", "CallFrom", "FromNumber")
"""The names under which the number of the one who calls comes."""

Progress = tuple[Phase, Evidence]


class Dialect(Enum):
    """Who speaks. Passthru, also after a Stream, and the Voicebot's dynamic URL are the flow."""

    FLOW = auto()
    POPUP = auto()
    STATUS_CALLBACK = auto()
    INTEGRATION_CORE = auto()
    CCM = auto()
    CDR = auto()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a delivery says of the progress of its call, and how far that is to be trusted."""

    dialect: Dialect
    source: Source
    phase: Phase
    evidence: Evidence
    talk_seconds: int | None


_WORDS: dict[str, Progress] = {
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
"""The words for a status. Others are met in the wild and say nothing."""

_AGENT: dict[str, Progress] = {"busy": (Phase.RINGING, Evidence.NONE), "free": (Phase.INITIATED, Evidence.NONE)}
"""What popups and Integration Core say of an agent: being rung, or released, whatever became of the call."""

_EVENTS = {
    "dial": Phase.RINGING,
    "ringing": Phase.RINGING,
    "answered": Phase.IN_PROGRESS,
    "terminal": Phase.OVER,
}
_CALL_TYPES = {
    "completed": Evidence.COMPLETED,
    "client-hangup": Evidence.CANCELED,
    "voicemail": Evidence.VOICEMAIL,
}

_MARKS: tuple[tuple[Dialect, tuple[str, ...]], ...] = (
    (Dialect.CCM, ("call_details", "event_details")),
    (Dialect.INTEGRATION_CORE, ("CallState", "CallDetail", "VirtualNumber", "AppUserID", "ExotelAccountSid")),
    (Dialect.STATUS_CALLBACK, ("DateUpdated", "DateCreated", "PhoneNumberSid", "ConversationDuration")),
    (Dialect.FLOW, ("CallType", "DialCallStatus", "DialCallDuration", "Stream", "flow_id")),
)
_SOURCES = {Dialect.FLOW: Source.PASSTHRU, Dialect.POPUP: Source.PASSTHRU, Dialect.CDR: Source.API}
_OF_AN_AGENT = ("DialWhomNumber", "AgentEmail", "agent_email", "CurrentTime")
_EVENT = ("EventType", "CallDetail", "event_details[event_type]")
_STATE = ("CallState", "call_details[state]")


def read(route: Route, fields: Fields) -> Reading:
    """What the delivery says. In doubt the call goes on: an end that comes late does less harm than a false one."""
    dialect = _dialect(route, fields)
    phase, evidence = _PROGRESS[dialect](fields)
    if route is Route.CALL_END and not _goes_on(dialect, fields):
        phase = Phase.OVER
    elif dialect is Dialect.FLOW or route in (Route.CALL_START, Route.PASSTHRU, Route.RECORDING):
        # These come out of a flow that is still running, or speak of something else: evidence, never the end.
        phase = min(phase, Phase.IN_PROGRESS, key=rank)
    return Reading(
        dialect, _SOURCES.get(dialect, Source.STATUS_CALLBACK), phase, evidence, _talk_seconds(dialect, fields)
    )


def _dialect(route: Route, fields: Fields) -> Dialect:
    if route is Route.CDR:
        return Dialect.CDR
    for dialect, marks in _MARKS:
        if fields.has(*marks):
            return dialect
    # `Status` alone is a callback's as well.
    agent = fields.has("Status", "EventType") and fields.has(*_OF_AN_AGENT)
    if agent or fields.word("EventType") == "dial":
        return Dialect.POPUP
    if route in (Route.CALL_START, Route.PASSTHRU) or fields.has("CurrentTime", "Created"):
        return Dialect.FLOW
    return Dialect.STATUS_CALLBACK


def _goes_on(dialect: Dialect, fields: Fields) -> bool:
    """Whether the delivery itself says when the call ends, and that this is not the end."""
    if dialect in (Dialect.POPUP, Dialect.INTEGRATION_CORE):
        return True
    open_event = _EVENTS.get(fields.word(*_EVENT), Phase.OVER) is not Phase.OVER
    return open_event or fields.word(*_STATE) == "active"


# ---- How each dialect tells phase and evidence ----


def _of_flow(fields: Fields) -> Progress:
    phase, evidence = _WORDS.get(fields.word("CallStatus", "Status"), (Phase.INITIATED, Evidence.NONE))
    call_type, dialled = fields.word("CallType"), fields.word("DialCallStatus")
    clues = [
        evidence,
        _CALL_TYPES.get(call_type, Evidence.NONE),
        # Rejected, failed and given up are incomplete as well: the word counts only where no better one stands.
        Evidence.NO_ANSWER if call_type == "incomplete" and not dialled else Evidence.NONE,
        _of_leg(dialled),
        _of_stream(fields.group("Stream")),
        Evidence.ANSWERED if _agent_talk(fields) else Evidence.NONE,
    ]
    strongest = max(clues, key=rank)
    return (phase if strongest is Evidence.NONE else Phase.IN_PROGRESS), strongest


def _of_popup(fields: Fields) -> Progress:
    event = _EVENTS.get(fields.word("EventType"), Phase.INITIATED)
    agent, _ = _AGENT.get(fields.word("Status"), (Phase.INITIATED, Evidence.NONE))
    # `Terminal` is the end of this agent's ringing or talking; another one may be rung next.
    return (agent if event is Phase.OVER else max(event, agent, key=rank)), Evidence.NONE


def _of_callback(fields: Fields) -> Progress:
    phase, evidence = _WORDS.get(fields.word("CallStatus", "Status"), (Phase.INITIATED, Evidence.NONE))
    clues = [
        evidence,
        _of_leg(_second_leg(fields).word("Status")),
        Evidence.ANSWERED if _conversation(fields) else Evidence.NONE,
    ]
    return _at(phase, fields), max(clues, key=rank)


def _of_integration_core(fields: Fields) -> Progress:
    phase, evidence = (_WORDS | _AGENT).get(fields.word("CallStatus"), (_unspoken(fields), Evidence.NONE))
    return _at(phase, fields), evidence


def _of_ccm(fields: Fields) -> Progress:
    phase, evidence = _WORDS.get(fields.word("call_details[status]"), (_unspoken(fields), Evidence.NONE))
    clues = [evidence, Evidence.ANSWERED if _total_talk(fields) else Evidence.NONE]
    return _at(phase, fields), max(clues, key=rank)


def _of_cdr(fields: Fields) -> Progress:
    phase, evidence = _WORDS.get(fields.word("Status"), (Phase.INITIATED, Evidence.NONE))
    _, first_leg = _WORDS.get(fields.word("Leg1Status"), (Phase.INITIATED, Evidence.NONE))
    clues = [
        evidence,
        first_leg,  # that the first one was completed says nothing of the second
        _of_leg(fields.word("Leg2Status")),
        Evidence.ANSWERED if _conversation(fields) else Evidence.NONE,
    ]
    return phase, max(clues, key=rank)


_PROGRESS: dict[Dialect, Callable[[Fields], Progress]] = {
    Dialect.FLOW: _of_flow,
    Dialect.POPUP: _of_popup,
    Dialect.STATUS_CALLBACK: _of_callback,
    Dialect.INTEGRATION_CORE: _of_integration_core,
    Dialect.CCM: _of_ccm,
    Dialect.CDR: _of_cdr,
}


def _unspoken(fields: Fields) -> Phase:
    return Phase.IN_PROGRESS if fields.word(*_STATE) == "active" else Phase.INITIATED


def _at(phase: Phase, fields: Fields) -> Phase:
    """The phase that the status tells, corrected by state and event, which are clearer about the end."""
    state, event = fields.word(*_STATE), _EVENTS.get(fields.word(*_EVENT))
    if state == "terminal" or (event is Phase.OVER and state != "active"):
        return Phase.OVER
    if event is None and state != "active":
        return phase
    reached = event if event in (Phase.RINGING, Phase.IN_PROGRESS) else Phase.INITIATED
    return max(reached, min(phase, Phase.IN_PROGRESS, key=rank), key=rank)


def _of_leg(word: str) -> Evidence:
    """What became of the leg that was dialled: if that was completed, somebody answered."""
    evidence = _WORDS.get(word, (Phase.INITIATED, Evidence.NONE))[1]
    return Evidence.ANSWERED if evidence is Evidence.COMPLETED else evidence


def _of_stream(stream: Fields) -> Evidence:
    """`Error` is believed before `Status`."""
    if stream.word("Error") not in ("", "na", "none") or stream.word("Status") == "failed":
        return Evidence.FAILED
    lasted = times.seconds(stream.text("Duration"))
    return Evidence.ANSWERED if stream.word("Status") == "completed" or lasted else Evidence.NONE


# ---- Talk time. `DialCallDuration` is none: it includes the ringing. ----


def _talk_seconds(dialect: Dialect, fields: Fields) -> int | None:
    if dialect in (Dialect.STATUS_CALLBACK, Dialect.CDR):
        return _conversation(fields)
    if dialect is Dialect.CCM:
        return _total_talk(fields)
    if dialect is Dialect.FLOW:
        lasted = times.seconds(fields.group("Stream").text("Duration"))
        return max((known for known in (_agent_talk(fields), lasted) if known is not None), default=None)
    return None


def _agent_talk(fields: Fields) -> int | None:
    """Of the last leg that talked, the caller's own left out: agents before it did not answer."""
    caller = phone.e164(fields.text(*CALLER))
    legs = [leg for leg in fields.members("Legs") if not caller or phone.e164(leg.text("Number")) != caller]
    known = [times.seconds(leg.text("OnCallDuration")) for leg in legs]
    return next((talked for talked in reversed(known) if talked), 0 if 0 in known else None)


def _conversation(fields: Fields) -> int | None:
    """Both connected. The first leg alone also talks while the second is still ringing."""
    reported = times.seconds(fields.text("ConversationDuration"))
    return times.seconds(_second_leg(fields).text("OnCallDuration")) if reported is None else reported


def _second_leg(fields: Fields) -> Fields:
    return fields.group("Legs").group("1")


def _total_talk(fields: Fields) -> int | None:
    return times.seconds(fields.text("call_details[total_talk_time]"))
