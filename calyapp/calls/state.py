"""How two views of one call become one, and what the call's status and outcome are. Pure.

A view holds what some deliveries say of a call; joining views is commutative, associative and idempotent, so the order
and the repetition of deliveries cannot matter. The ranks stand in the order of the enumerations here and nowhere else:
the SQL of `store` is generated from them.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, Self


class Phase(StrEnum):
    """How far a call has come, in order."""

    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    OVER = "over"


class Evidence(StrEnum):
    """What is known of how a call ended, weakest first."""

    NONE = "none"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    VOICEMAIL = "voicemail"
    ANSWERED = "answered"


class Source(StrEnum):
    """Where a value comes from, least trusted first."""

    ARRIVAL = "arrival"
    PASSTHRU = "passthru"
    STATUS_CALLBACK = "status-callback"
    API = "api"


class Direction(StrEnum):
    """Seen from the client: somebody rang the client's number, or was rung from it."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CallStatus(StrEnum):
    """The word by which users know the state of a call."""

    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    FAILED = "failed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


class CallOutcome(StrEnum):
    """What became of a call that is over."""

    ANSWERED = "answered"
    VOICEMAIL = "voicemail"
    REJECTED = "rejected"
    MISSED = "missed"
    ABANDONED = "abandoned"
    FAILED = "failed"


ENDINGS: dict[Evidence, tuple[CallStatus, CallOutcome | None]] = {
    Evidence.NONE: (CallStatus.COMPLETED, None),
    Evidence.COMPLETED: (CallStatus.COMPLETED, CallOutcome.ANSWERED),
    Evidence.FAILED: (CallStatus.FAILED, CallOutcome.FAILED),
    Evidence.CANCELED: (CallStatus.CANCELED, CallOutcome.ABANDONED),
    Evidence.NO_ANSWER: (CallStatus.NO_ANSWER, CallOutcome.MISSED),
    Evidence.BUSY: (CallStatus.BUSY, CallOutcome.REJECTED),
    Evidence.VOICEMAIL: (CallStatus.COMPLETED, CallOutcome.VOICEMAIL),
    Evidence.ANSWERED: (CallStatus.COMPLETED, CallOutcome.ANSWERED),
}
"""Once a call is over, its evidence decides status and outcome."""

MIN_WINS = frozenset({"start_ts"})
"""Of two values from equally trusted sources the greater wins, but a call starts when it first started."""


class Sourced(NamedTuple):
    """A value with where it comes from."""

    source: Source
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """What is known of a call. A field that is None is not known; every other knows its source."""

    phase: Phase = Phase.INITIATED
    evidence: Evidence = Evidence.NONE
    phone_from: Sourced | None = None
    phone_to: Sourced | None = None
    direction: Sourced | None = None
    start_ts: Sourced | None = None
    end_ts: Sourced | None = None
    talk_seconds: Sourced | None = None
    call_seconds: Sourced | None = None
    recording_url: Sourced | None = None

    def join(self, other: Self) -> Self:
        """All that either view knows; where both know, the later phase, the stronger evidence, the better source."""
        return type(self)(
            phase=max(self.phase, other.phase, key=rank),
            evidence=max(self.evidence, other.evidence, key=rank),
            **{name: _better(name, getattr(self, name), getattr(other, name)) for name in SOURCED},
        )

    @property
    def status(self) -> CallStatus:
        """The phase while the call is open; then what its evidence says."""
        return ENDINGS[self.evidence][0] if self.phase is Phase.OVER else CallStatus(self.phase.value)

    @property
    def outcome(self) -> CallOutcome | None:
        """None while the call is open."""
        return ENDINGS[self.evidence][1] if self.phase is Phase.OVER else None

    @property
    def duration_seconds(self) -> int | None:
        """Talk time; the reported length of the call only where nothing better is known."""
        best = self.talk_seconds or self.call_seconds
        return best.value if best else None


SOURCED = tuple(field.name for field in fields(CallView) if field.name not in ("phase", "evidence"))
"""The fields of a view that carry a source."""


@cache
def rank(word: StrEnum) -> int:
    """The place of a word in its enumeration."""
    return list(type(word)).index(word)


def _better(name: str, one: Sourced | None, other: Sourced | None) -> Sourced | None:
    if one is None or other is None:
        return one or other
    if one.source is not other.source:
        return max(one, other, key=lambda known: rank(known.source))
    choose = min if name in MIN_WINS else max
    return choose(one, other, key=lambda known: known.value)
