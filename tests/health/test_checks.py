"""Tests health checks with a simulated clock. A check that hangs waits for an event. No test sleeps."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clocks import Clock

from calyapp.health.checks import Check, Checks, Finding, Health, TimedFinding, overall

ROOT = Path(__file__).parents[2]
HEALTHY = Finding(Health.HEALTHY, facts={"depth": 3})


class CountingCheck:
    """A check that counts how often it ran. It hangs until `release` is set."""

    def __init__(self, *, hanging: bool = False) -> None:
        self.runs = 0
        self.release = threading.Event()
        if not hanging:
            self.release.set()

    def __call__(self) -> Finding:
        self.runs += 1
        self.release.wait()
        return HEALTHY


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hanging() -> Iterator[CountingCheck]:
    check = CountingCheck(hanging=True)
    yield check
    check.release.set()


def failing() -> Finding:
    raise ConnectionError("password is hunter2")


def checks_of(check: Check, clock: Clock, deadline: float = 10.0) -> Checks:
    return Checks({"one": check}, deadline=deadline, clock=clock)


def finding_of(checks: Checks) -> TimedFinding:
    return checks.run(["one"])["one"]


class TestRun:
    def test_runs_only_the_named_checks(self, clock: Clock) -> None:
        named, other = CountingCheck(), CountingCheck()
        checks = Checks({"named": named, "other": other}, clock=clock)

        findings = checks.run(["named"])

        assert findings == {"named": TimedFinding(HEALTHY, 0.0)}
        assert (named.runs, other.runs) == (1, 0)

    def test_refuses_an_unknown_name(self, clock: Clock) -> None:
        with pytest.raises(KeyError):
            Checks({}, clock=clock).run(["unknown"])

    def test_runs_checks_at_the_same_time(self, clock: Clock) -> None:
        barrier = threading.Barrier(2, timeout=10)

        def waits_for_the_other() -> Finding:
            barrier.wait()
            return HEALTHY

        checks = Checks({"one": waits_for_the_other, "two": waits_for_the_other}, deadline=20, clock=clock)

        assert overall(checks.run(["one", "two"])) is Health.HEALTHY

    def test_measures_how_long_a_check_took(self, clock: Clock) -> None:
        def slow() -> Finding:
            clock.seconds += 0.25
            return HEALTHY

        assert finding_of(checks_of(slow, clock)).response_time_ms == 250.0

    def test_reports_a_check_that_raises_as_unhealthy_and_writes_the_error_only_to_the_log(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "calyapp.health"):
            timed = finding_of(checks_of(failing, clock))

        assert timed.finding == Finding(
            Health.UNHEALTHY, "the check failed (ConnectionError)", "See the log of the service for the cause."
        )
        assert caplog.records[0].getMessage() == "health check one failed"
        assert "hunter2" in caplog.text

    def test_logs_the_message_of_a_check_that_is_not_healthy(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        finding = Finding(Health.DEGRADED, "the next partition is missing", "Create it.", {"ahead": 0})

        with caplog.at_level(logging.WARNING, "calyapp.health"):
            timed = finding_of(checks_of(lambda: finding, clock))

        assert timed == TimedFinding(finding, 0.0)
        assert caplog.messages == ["health check one: degraded: the next partition is missing"]


class TestFreshness:
    def test_lets_a_finding_serve_for_a_second(self, clock: Clock) -> None:
        check = CountingCheck()
        checks = checks_of(check, clock)
        first = finding_of(checks)

        clock.seconds += 0.99
        second = finding_of(checks)

        assert second is first
        assert check.runs == 1

    def test_ends_after_a_second(self, clock: Clock) -> None:
        check = CountingCheck()
        checks = checks_of(check, clock)
        finding_of(checks)

        clock.seconds += 1.0
        finding_of(checks)

        assert check.runs == 2

    def test_is_shared_by_concurrent_callers(self, clock: Clock, hanging: CountingCheck) -> None:
        checks = checks_of(hanging, clock)

        with ThreadPoolExecutor(8) as callers:
            findings = [callers.submit(finding_of, checks) for _ in range(8)]
            hanging.release.set()

        assert len({id(finding.result()) for finding in findings}) == 1
        assert hanging.runs == 1


class TestDeadline:
    def test_makes_a_hanging_check_unhealthy_without_affecting_the_others(
        self, clock: Clock, hanging: CountingCheck, caplog: pytest.LogCaptureFixture
    ) -> None:
        checks = Checks({"hanging": hanging, "healthy": CountingCheck()}, deadline=0.05, clock=clock)

        with caplog.at_level(logging.WARNING, "calyapp.health"):
            findings = checks.run(["hanging", "healthy"])

        assert findings["hanging"].status is Health.UNHEALTHY
        assert findings["hanging"].finding.message == "no answer within 0.05 s"
        assert findings["healthy"].status is Health.HEALTHY
        assert caplog.messages == ["health check hanging has not answered within 0.05 s"]

    def test_is_not_waited_for_a_second_time(self, clock: Clock, hanging: CountingCheck) -> None:
        checks = checks_of(hanging, clock, deadline=0.05)
        finding_of(checks)

        clock.seconds += 60
        finding = finding_of(checks)

        assert (finding.status, finding.response_time_ms) == (Health.UNHEALTHY, 60_000.0)
        assert hanging.runs == 1

    def test_ends_when_the_check_returns_so_that_it_runs_again(self, clock: Clock, hanging: CountingCheck) -> None:
        checks = checks_of(hanging, clock, deadline=0.05)
        finding_of(checks)
        clock.seconds += 60

        hanging.release.set()
        for thread in threading.enumerate():
            if thread.name == "health-one":
                thread.join()

        assert finding_of(checks) == TimedFinding(HEALTHY, 0.0)
        assert hanging.runs == 2


class TestForkedChild:
    def test_does_not_wait_for_a_run_of_its_parent(self) -> None:
        script = """
import os, threading
from calyapp.health.checks import Checks, Finding, Health
parent = os.getpid()

def hangs_in_parent():
    if os.getpid() == parent:
        threading.Event().wait()
    return Finding(Health.HEALTHY)

checks = Checks({"one": hangs_in_parent}, deadline=0.2, fresh_for=0)
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
    def test_is_the_worst_status(self, statuses: list[Health], worst: Health) -> None:
        findings = {str(number): TimedFinding(Finding(status), 0.0) for number, status in enumerate(statuses)}

        assert overall(findings) is worst
