"""Each test runs the parent as a separate process, because it sends signals and kills it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PARENT = "import os, sys; from calyapp.embedded.child_process import run; sys.exit(run(sys.argv[1:], os.environ))"

# Prints that it is ready, waits for a signal, prints its number and exits with it.
LISTENER = """
import signal, sys
signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
number = signal.sigwait(signals)
print(number, flush=True)
sys.exit(number)
"""


def parent_of(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PARENT, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def parent_of_listener() -> subprocess.Popen[str]:
    parent = parent_of(sys.executable, "-c", LISTENER)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    return parent


class TestRun:
    @pytest.mark.parametrize("code", [0, 7, 255])
    def test_returns_the_exit_code_of_the_command(self, code: int) -> None:
        with parent_of("sh", "-c", f"exit {code}") as parent:
            assert parent.wait() == code

    def test_returns_128_and_the_number_of_the_signal_that_ended_the_command(self) -> None:
        with parent_of("sh", "-c", "kill -KILL $$") as parent:
            assert parent.wait() == 128 + signal.SIGKILL

    def test_returns_127_for_a_command_that_does_not_exist(self) -> None:
        with parent_of("/no/such/command") as parent:
            assert parent.wait() == 127

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_passes_signals_on_to_the_command(self, number: signal.Signals) -> None:
        with parent_of_listener() as parent:
            parent.send_signal(number)

            assert parent.wait() == number

    def test_stops_the_command_when_a_process_that_it_needs_ends(self) -> None:
        needing = "import subprocess as s, sys, os; from calyapp.embedded.child_process import run; " + (
            "sys.exit(run(sys.argv[1:], os.environ, needed=s.Popen(['sleep', '0.1'])))"
        )
        command = [sys.executable, "-c", needing, sys.executable, "-c", LISTENER]

        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)

        assert done.returncode == signal.SIGTERM

    def test_leaves_sigint_to_the_terminal(self) -> None:
        with parent_of_listener() as parent:
            parent.send_signal(signal.SIGINT)
            parent.send_signal(signal.SIGTERM)

            assert parent.wait() == signal.SIGTERM

    def test_terminates_the_command_when_the_parent_is_killed(self) -> None:
        with parent_of_listener() as parent:
            parent.kill()

            output, _ = parent.communicate()  # returns when the command has ended

        assert output == f"{signal.SIGTERM:d}\n"
