"""What several deliveries together say about a call: the join of views, and the status and outcome. Pure functions.

A view holds what one or several deliveries say about a call. Joining takes the maximum of each part: the later phase,
the stronger evidence, and for each value the greater pair of source and value (`start_ts` reverses the order of values:
the earliest wins). Each part has a total order, and a missing value is below all others. A maximum in a total order is
commutative, associative and idempotent, and a tuple of maxima is so too. So the order, the grouping and the repetition
of deliveries do not matter; Exotel guarantees none of them (docs/exotel-protocol.md, section 9). A rule that is not a
maximum in a total order ("the last one wins", "an end overrides") breaks this: the record would depend on the network.
See "The join" in docs/architecture.md for the reason of each rank.

The order of the members of `Phase`, `Evidence` and `Source` is their rank. It is defined only here: `join_sql`
generates the SQL from it.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, Self


class Phase(StrEnum):
    """How far a call is, in order."""

    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    OVER = "over"


class Evidence(StrEnum):
    """What is known about how a call ended, weakest first. "The join" in docs/architecture.md explains the order.

    `completed` is the weakest: Exotel says it of missed and rejected calls too (docs/exotel-protocol.md, section 10.3).
    """

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
    """The direction as the client sees it: a caller rings the client's number, or is called from it."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CallStatus(StrEnum):
    """The status of a call, as users see it."""

    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    FAILED = "failed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


class CallOutcome(StrEnum):
    """How a call ended, as users see it."""

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
"""Status and outcome of a call that is over, by its evidence."""

MIN_WINS = frozenset({"start_ts"})
"""Values of which the smallest wins within a source, because a call starts when it first started."""


class Sourced(NamedTuple):
    """A value and its source."""

    source: Source
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """What is known about a call. A value that is not known is None."""

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
        """Returns what both views say together: the later phase, the stronger evidence, the better values."""
        return type(self)(
            phase=max(self.phase, other.phase, key=rank),
            evidence=max(self.evidence, other.evidence, key=rank),
            **{name: _better(name, getattr(self, name), getattr(other, name)) for name in SOURCED},
        )

    @property
    def status(self) -> CallStatus:
        """The phase while the call is open. Once it is over, its evidence decides."""
        return ENDINGS[self.evidence][0] if self.phase is Phase.OVER else CallStatus(self.phase.value)

    @property
    def outcome(self) -> CallOutcome | None:
        """How the call ended. None while it is open, and if nothing is known."""
        return ENDINGS[self.evidence][1] if self.phase is Phase.OVER else None

    @property
    def duration_seconds(self) -> int | None:
        """The talk time; if unknown, the reported length of the call."""
        best = self.talk_seconds or self.call_seconds
        return best.value if best else None


SOURCED = tuple(field.name for field in fields(CallView) if field.name not in ("phase", "evidence"))
"""The names of the fields that have a source."""


@cache
def rank(member: StrEnum) -> int:
    """Returns the position of a member in its enumeration."""
    return list(type(member)).index(member)


def _better(name: str, one: Sourced | None, other: Sourced | None) -> Sourced | None:
    if one is None or other is None:
        return one or other
    if one.source is not other.source:
        return max(one, other, key=lambda sourced: rank(sourced.source))
    choose = min if name in MIN_WINS else max
    return choose(one, other, key=lambda sourced: sourced.value)
