"""Health checks with a clock of our own; a check that hangs waits for an event, and nothing sleeps."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clocks import Clock

from calyapp.health.checks import Check, Checks, Finding, Health, Outcome, overall

ROOT = Path(__file__).parents[2]
WELL = Finding(Health.HEALTHY, facts={"depth": 3})


class Recorded:
    """A check that counts how often it was run, and hangs as long as `release` is not set."""

    def __init__(self, *, hanging: bool = False) -> None:
        self.runs = 0
        self.release = threading.Event()
        if not hanging:
            self.release.set()

    def __call__(self) -> Finding:
        self.runs += 1
        self.release.wait()
        return WELL


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hanging() -> Iterator[Recorded]:
    check = Recorded(hanging=True)
    yield check
    check.release.set()


def failing() -> Finding:
    raise ConnectionError("password is hunter2")


def one(check: Check, clock: Clock, deadline: float = 10.0) -> Checks:
    return Checks({"one": check}, deadline=deadline, clock=clock)


def outcome_of(checks: Checks) -> Outcome:
    return checks.run(["one"])["one"]


class TestRun:
    def test_runs_the_checks_it_is_asked_for_and_no_other(self, clock: Clock) -> None:
        asked, other = Recorded(), Recorded()
        checks = Checks({"asked": asked, "other": other}, clock=clock)

        outcomes = checks.run(["asked"])

        assert outcomes == {"asked": Outcome(WELL, 0.0)}
        assert (asked.runs, other.runs) == (1, 0)

    def test_refuses_a_name_it_does_not_know(self, clock: Clock) -> None:
        with pytest.raises(KeyError):
            Checks({}, clock=clock).run(["unknown"])

    def test_runs_checks_side_by_side(self, clock: Clock) -> None:
        together = threading.Barrier(2, timeout=10)

        def meets_the_other() -> Finding:
            together.wait()
            return WELL

        checks = Checks({"one": meets_the_other, "two": meets_the_other}, deadline=20, clock=clock)

        assert overall(checks.run(["one", "two"])) is Health.HEALTHY

    def test_measures_how_long_a_check_took(self, clock: Clock) -> None:
        def slow() -> Finding:
            clock.seconds += 0.25
            return WELL

        assert outcome_of(one(slow, clock)).response_time_ms == 250.0

    def test_takes_a_check_that_raises_for_unhealthy_and_tells_only_the_log_why(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "calyapp.health"):
            outcome = outcome_of(one(failing, clock))

        assert outcome.finding == Finding(
            Health.UNHEALTHY, "the check failed (ConnectionError)", "See the log of the service for the cause."
        )
        assert caplog.records[0].getMessage() == "health check one failed"
        assert "hunter2" in caplog.text

    def test_logs_the_reason_of_what_is_not_healthy(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        finding = Finding(Health.DEGRADED, "the next partition is missing", "Make it.", {"ahead": 0})

        with caplog.at_level(logging.WARNING, "calyapp.health"):
            outcome = outcome_of(one(lambda: finding, clock))

        assert outcome == Outcome(finding, 0.0)
        assert caplog.messages == ["health check one: degraded: the next partition is missing"]


class TestFreshness:
    def test_lets_an_outcome_serve_for_a_second(self, clock: Clock) -> None:
        check = Recorded()
        checks = one(check, clock)
        first = outcome_of(checks)

        clock.seconds += 0.99
        second = outcome_of(checks)

        assert second is first
        assert check.runs == 1

    def test_ends_after_a_second(self, clock: Clock) -> None:
        check = Recorded()
        checks = one(check, clock)
        outcome_of(checks)

        clock.seconds += 1.0
        outcome_of(checks)

        assert check.runs == 2

    def test_is_shared_by_callers_at_the_same_time(self, clock: Clock, hanging: Recorded) -> None:
        checks = one(hanging, clock)

        with ThreadPoolExecutor(8) as probes:
            outcomes = [probes.submit(outcome_of, checks) for _ in range(8)]
            hanging.release.set()

        assert len({id(outcome.result()) for outcome in outcomes}) == 1
        assert hanging.runs == 1


class TestDeadline:
    def test_makes_a_hanging_check_unhealthy_and_leaves_the_others_alone(
        self, clock: Clock, hanging: Recorded, caplog: pytest.LogCaptureFixture
    ) -> None:
        checks = Checks({"hanging": hanging, "well": Recorded()}, deadline=0.05, clock=clock)

        with caplog.at_level(logging.WARNING, "calyapp.health"):
            outcomes = checks.run(["hanging", "well"])

        assert outcomes["hanging"].status is Health.UNHEALTHY
        assert outcomes["hanging"].finding.reason == "no answer within 0.05 s"
        assert outcomes["well"].status is Health.HEALTHY
        assert caplog.messages == ["health check hanging has not answered within 0.05 s"]

    def test_once_passed_is_not_waited_for_again(self, clock: Clock, hanging: Recorded) -> None:
        checks = one(hanging, clock, deadline=0.05)
        outcome_of(checks)

        clock.seconds += 60
        outcome = outcome_of(checks)

        assert (outcome.status, outcome.response_time_ms) == (Health.UNHEALTHY, 60_000.0)
        assert hanging.runs == 1

    def test_once_passed_gives_way_to_a_new_run_when_the_check_comes_back(
        self, clock: Clock, hanging: Recorded
    ) -> None:
        checks = one(hanging, clock, deadline=0.05)
        outcome_of(checks)
        clock.seconds += 60

        hanging.release.set()
        for thread in threading.enumerate():
            if thread.name == "health-one":
                thread.join()

        assert outcome_of(checks) == Outcome(WELL, 0.0)
        assert hanging.runs == 2


class TestForkedChild:
    def test_does_not_wait_for_a_run_that_hangs_in_its_parent(self) -> None:
        script = """
import os, threading
from calyapp.health.checks import Checks, Finding, Health
parent = os.getpid()

def hangs_in_the_parent():
    if os.getpid() == parent:
        threading.Event().wait()
    return Finding(Health.HEALTHY)

checks = Checks({"one": hangs_in_the_parent}, deadline=0.2, fresh_for=0)
checks.run(["one"])
if os.fork() == 0:
    print(checks.run(["one"])["one"].status, flush=True)
    os._exit(0)
os.wait()
"""

        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )

        assert done.stdout == "healthy\n"


class TestOverall:
    @pytest.mark.parametrize(
        ("statuses", "worst"),
        [
            ([], Health.HEALTHY),
            ([Health.HEALTHY], Health.HEALTHY),
            ([Health.DEGRADED, Health.HEALTHY], Health.DEGRADED),
            ([Health.DEGRADED, Health.UNHEALTHY, Health.HEALTHY], Health.UNHEALTHY),
        ],
    )
    def test_is_the_worst(self, statuses: list[Health], worst: Health) -> None:
        outcomes = {str(number): Outcome(Finding(status), 0.0) for number, status in enumerate(statuses)}

        assert overall(outcomes) is worst
