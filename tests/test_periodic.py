"""Periodic actions. The tests wait for events and never sleep."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from calyapp.periodic import Periodic

ROOT = Path(__file__).parents[1]
PATIENCE = 10.0

StartPeriodic = Callable[[float, Callable[[], None]], Periodic]


@pytest.fixture
def started() -> Iterator[StartPeriodic]:
    begun: list[Periodic] = []

    def start(every: float, action: Callable[[], None]) -> Periodic:
        periodic = Periodic("sweeping", every, action)
        begun.append(periodic)
        periodic.start()
        return periodic

    yield start
    for periodic in begun:
        periodic.stop()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "sweeping"]


class TestPeriodic:
    def test_runs_immediately_and_repeatedly(self, started: StartPeriodic) -> None:
        runs = threading.Semaphore(0)

        started(0.001, runs.release)

        assert all(runs.acquire(timeout=PATIENCE) for _ in range(3))

    def test_runs_on_a_daemon_thread_with_its_name(self, started: StartPeriodic) -> None:
        seen: list[threading.Thread] = []
        ran = threading.Event()

        def action() -> None:
            seen.append(threading.current_thread())
            ran.set()

        started(3600, action)

        assert ran.wait(PATIENCE)
        assert (seen[0].daemon, seen[0].name) == (True, "sweeping")

    def test_is_interrupted_in_its_pause_by_stop(self, started: StartPeriodic) -> None:
        ran = threading.Event()
        periodic = started(3600, ran.set)
        assert ran.wait(PATIENCE)

        periodic.stop()

        assert threads() == []

    def test_has_one_thread_after_repeated_starts(self, started: StartPeriodic) -> None:
        periodic = started(3600, lambda: None)

        periodic.start()

        assert threads() == ["sweeping"]

    def test_runs_again_when_started_after_a_stop(self, started: StartPeriodic) -> None:
        runs = threading.Semaphore(0)
        periodic = started(3600, runs.release)
        assert runs.acquire(timeout=PATIENCE)
        periodic.stop()

        periodic.start()

        assert runs.acquire(timeout=PATIENCE)

    def test_logs_an_exception_with_its_name_and_continues(
        self, started: StartPeriodic, caplog: pytest.LogCaptureFixture
    ) -> None:
        runs = threading.Semaphore(0)

        def action() -> None:
            runs.release()
            raise OSError("the broom is broken")

        with caplog.at_level(logging.WARNING, "calyapp.periodic"):
            periodic = started(0.001, action)
            assert all(runs.acquire(timeout=PATIENCE) for _ in range(2))
            periodic.stop()

        first = caplog.records[0]
        assert (first.levelname, first.getMessage()) == ("WARNING", "periodic task sweeping failed: OSError")
        assert "the broom is broken" in caplog.text

    def test_may_be_stopped_before_it_was_started(self) -> None:
        Periodic("sweeping", 1, lambda: None).stop()

    def test_can_be_started_in_a_forked_child(self) -> None:
        script = """
import os, threading
from calyapp.periodic import Periodic
ran = threading.Event()
periodic = Periodic("sweeping", 3600, ran.set)
periodic.start()
assert ran.wait(10)
ran.clear()
if os.fork() == 0:
    periodic.start()
    os._exit(0 if ran.wait(10) else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""

        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

        assert done.stdout == "0\n"
