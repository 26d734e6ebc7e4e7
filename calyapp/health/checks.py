"""Runs named checks with a deadline and at a bounded rate. Must not know what is checked.

The text of an exception goes to the log and never into a finding, because it may hold an address or part of a password.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

logger = logging.getLogger("calyapp.health")

T = TypeVar("T")


class Health(StrEnum):
    """The state of what is checked, from best to worst."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Finding:
    """What a check found. It is shown to operators and must not hold a secret, a phone number or a server's address.

    `message` says what was found, and may be empty if it is healthy. `remedy` says what to do about it. `status_text`
    replaces the status in reports where something optional was never done; such a finding is healthy.
    """

    status: Health
    message: str = ""
    remedy: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    status_text: str = ""


Check = Callable[[], Finding]


@dataclass(frozen=True)
class TimedFinding:
    """A finding, and the milliseconds that its check took; for a check that still runs, the milliseconds so far."""

    finding: Finding
    response_time_ms: float

    @property
    def status(self) -> Health:
        """Returns the status of the finding."""
        return self.finding.status


class Run(Generic[T]):
    """One call of a function in a thread of its own, so that the caller can stop waiting. Starts at once.

    The thread is a daemon: a function that hangs does not keep the process from ending.
    """

    def __init__(self, function: Callable[[], T], name: str) -> None:
        self._result: Future[T] = Future()
        self._thread = threading.Thread(target=self._call, args=(function,), name=name, daemon=True)
        self._thread.start()

    def is_over(self) -> bool:
        """Returns whether there is a result, or never will be: a fork does not copy the thread into the child."""
        return self._result.done() or not self._thread.is_alive()

    def result(self, seconds: float) -> T:
        """Returns the result of the function. Raises what the function raised, or `TimeoutError` after the seconds."""
        return self._result.result(max(0.0, seconds))

    def _call(self, function: Callable[[], T]) -> None:
        try:
            self._result.set_result(function())
        except Exception as error:  # whatever it is, it belongs to the thread that waits
            self._result.set_exception(error)


def no_answer(seconds: float) -> Finding:
    """Returns the finding about a check that did not end within the seconds."""
    return Finding(
        Health.UNHEALTHY,
        f"no answer within {seconds:g} s",
        "Find out what it waits for: the network, the disk, or the load of the machine.",
    )


@dataclass(frozen=True)
class _Started:
    at: float
    run: Run[TimedFinding]


class Checks:
    """The named checks of one process. A check runs only when it is asked for."""

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
        self._latest: dict[str, _Started] = {}

    def run(self, names: Iterable[str]) -> dict[str, TimedFinding]:
        """Returns the finding of each named check, after at most the deadline. Raises `KeyError` for an unknown name.

        A check that started less than `fresh_for` seconds ago is not started again. Callers at the same time share a
        run. A check that hangs is unhealthy, and is not started again until it returns.
        """
        started = {name: self._start_unless_fresh(name) for name in names}
        return {name: self._wait_for(name, each) for name, each in started.items()}

    def _start_unless_fresh(self, name: str) -> _Started:
        with self._lock:
            latest = self._latest.get(name)
            if latest is None or (latest.run.is_over() and self._clock() - latest.at >= self._fresh_for):
                latest = self._latest[name] = self._start(name)
            return latest

    def _start(self, name: str) -> _Started:
        at = self._clock()

        def timed() -> TimedFinding:
            return TimedFinding(_safely(name, self._checks[name]), self._milliseconds_since(at))

        return _Started(at, Run(timed, name=f"health-{name}"))

    def _wait_for(self, name: str, started: _Started) -> TimedFinding:
        remaining = started.at + self._deadline - self._clock()
        try:
            return started.run.result(remaining)
        except TimeoutError:
            if remaining > 0:  # logged by callers that waited, not by each request that comes while it still hangs
                logger.warning("health check %s has not answered within %s s", name, self._deadline)
            return TimedFinding(no_answer(self._deadline), self._milliseconds_since(started.at))

    def _milliseconds_since(self, started: float) -> float:
        return (self._clock() - started) * 1000


def overall(findings: Mapping[str, TimedFinding]) -> Health:
    """Returns the worst status; healthy if there are no findings."""
    worst_last = list(Health)
    return max((finding.status for finding in findings.values()), key=worst_last.index, default=Health.HEALTHY)


def _safely(name: str, check: Check) -> Finding:
    try:
        finding = check()
    except Exception as error:
        logger.warning("health check %s failed", name, exc_info=True)
        return Finding(
            Health.UNHEALTHY, f"the check failed ({type(error).__name__})", "See the log of the service for the cause."
        )
    if finding.status is not Health.HEALTHY:
        logger.warning("health check %s: %s: %s", name, finding.status, finding.message)
    return finding
