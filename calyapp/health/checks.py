"""Runs named checks with a deadline, at a bounded rate; knows none of them.

What an exception says goes to the log and never into an outcome: it may hold an address or a part of a password.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum

logger = logging.getLogger("calyapp.health")


class Health(StrEnum):
    """How well something is, from best to worst."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Finding:
    """What a check found, for those who may see the details: no secret, number or address of a server is in it.

    `reason` says what is wrong and `remedy` what to do about it. `shown` takes the place of the status where something
    was never done that nobody has to do; the check is healthy then.
    """

    status: Health
    reason: str = ""
    remedy: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    shown: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a check found, and how long it took or has taken so far, in milliseconds."""

    finding: Finding
    response_time_ms: float

    @property
    def status(self) -> Health:
        """That of the finding."""
        return self.finding.status


Check = Callable[[], Finding]


@dataclass(frozen=True)
class _Run:
    started: float
    thread: threading.Thread
    outcome: Future[Outcome]

    def is_over(self) -> bool:
        """Answered, or left behind: a thread does not follow its process through a fork."""
        return self.outcome.done() or not self.thread.is_alive()


class Checks:
    """The named checks of one process; a thread begins only when a probe needs it."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        deadline: float = 2.0,
        fresh_for: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks
        self._deadline = deadline
        self._fresh_for = fresh_for
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: dict[str, _Run] = {}

    def run(self, names: Iterable[str]) -> dict[str, Outcome]:
        """The outcome of each named check, after at most the deadline; KeyError for a name that is not known.

        What began less than `fresh_for` seconds ago is not begun again, and callers at the same time share a
        run. A check that hangs is unhealthy, and not begun a second time, until it comes back.
        """
        runs = {name: self._fresh_run(name) for name in names}
        return {name: self._outcome(name, run) for name, run in runs.items()}

    def _fresh_run(self, name: str) -> _Run:
        with self._lock:
            latest = self._latest.get(name)
            if latest is None or (latest.is_over() and self._clock() - latest.started >= self._fresh_for):
                latest = self._latest[name] = self._begin(name)
            return latest

    def _begin(self, name: str) -> _Run:
        started = self._clock()
        outcome: Future[Outcome] = Future()
        thread = threading.Thread(
            target=self._perform,
            args=(name, self._checks[name], started, outcome),
            name=f"health-{name}",
            daemon=True,
        )
        thread.start()
        return _Run(started, thread, outcome)

    def _perform(self, name: str, check: Check, started: float, outcome: Future[Outcome]) -> None:
        finding = _find(name, check)
        outcome.set_result(Outcome(finding, self._milliseconds_since(started)))

    def _outcome(self, name: str, run: _Run) -> Outcome:
        patience = run.started + self._deadline - self._clock()
        try:
            return run.outcome.result(timeout=max(0.0, patience))
        except TimeoutError:
            if patience > 0:  # said by those who waited, not by every probe that comes while it still hangs
                logger.warning("health check %s has not answered within %s s", name, self._deadline)
            late = Finding(
                Health.UNHEALTHY,
                f"no answer within {self._deadline:g} s",
                "See what it waits for: the network, the disk or the load of the machine.",
            )
            return Outcome(late, self._milliseconds_since(run.started))

    def _milliseconds_since(self, started: float) -> float:
        return (self._clock() - started) * 1000


def overall(outcomes: Mapping[str, Outcome]) -> Health:
    """The worst of all; healthy when there are none."""
    worst_last = list(Health)
    return max((outcome.status for outcome in outcomes.values()), key=worst_last.index, default=Health.HEALTHY)


def _find(name: str, check: Check) -> Finding:
    try:
        finding = check()
    except Exception as error:
        logger.warning("health check %s failed", name, exc_info=True)
        return Finding(
            Health.UNHEALTHY, f"the check failed ({type(error).__name__})", "See the log of the service for the cause."
        )
    if finding.status is not Health.HEALTHY:
        logger.warning("health check %s: %s: %s", name, finding.status, finding.reason)
    return finding
