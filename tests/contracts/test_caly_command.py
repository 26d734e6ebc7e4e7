"""deploy/caly, the command for root: what it asks of systemd. Stand-ins replace systemd's programs."""

import os
import pwd
import signal
import subprocess
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[2] / "deploy" / "caly"
TELL = 'for word; do echo "$word"; done'
STOP = 'echo "$@"; kill "$(cat pid)"'


@pytest.fixture
def stand_in(tmp_path):
    """A function that replaces programs with shell scripts. It returns the environment in which they are found."""

    def install(**scripts: str) -> dict[str, str]:
        for name, script in scripts.items():
            program = tmp_path / name.replace("_", "-")
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        known = {name: value for name, value in os.environ.items() if name != "SUDO_USER"}
        return {**known, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    return install


@pytest.fixture
def asked(stand_in):
    """A function that gives the words with which systemd-run was started."""

    def ask(*arguments: str, **environment: str) -> list[str]:
        known = {**stand_in(systemd_run=TELL), **environment}
        return subprocess.run(
            [COMMAND, *arguments], env=known, capture_output=True, text=True, check=True
        ).stdout.splitlines()

    return ask


@pytest.fixture
def terminal(stand_in, tmp_path):
    """A function that starts the command on a terminal of its own, and gives its process and the terminal."""
    opened = []

    def start(**scripts: str) -> tuple[subprocess.Popen, int]:
        ours, theirs = os.openpty()
        opened.extend((ours, theirs))
        process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", COMMAND, "users", "add"],
            cwd=tmp_path,
            env=stand_in(**scripts),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        return process, ours

    yield start
    for descriptor in opened:
        os.close(descriptor)


def test_the_units_name_brings_the_sandbox_along(asked):
    (unit,) = [word for word in asked("clients", "list") if word.startswith("--unit=")]

    assert unit.startswith("--unit=caly-")


def test_arguments_arrive_as_they_were_given(asked):
    words = asked("clients", "add", "--name", "Asha  Clinics")

    assert words[-7:] == ["/opt/caly", ".venv/bin/flask", "caly", "clients", "add", "--name", "Asha  Clinics"]


def test_migrations_may_be_those_of_another_release(asked):
    words = asked("alembic", "upgrade", "head", CALY_RELEASE="/opt/caly-releases/2.0.0")

    assert words[-6:] == ["/opt/caly-releases/2.0.0", ".venv/bin/alembic", "-c", "setup.cfg", "upgrade", "head"]


def test_no_argument_stands_in_the_description(asked):
    (description,) = [word for word in asked("simulate", "--key", "cwk_secret") if word.startswith("--description")]

    assert "cwk_secret" not in description


def test_the_command_learns_who_runs_it_through_sudo(asked):
    assert "--setenv=CALY_ACTOR=priya" in asked("clients", "list", SUDO_USER="priya")


def test_the_command_learns_who_runs_it_where_nobody_signed_in(asked, stand_in):
    stand_in(logname="exit 1")

    assert f"--setenv=CALY_ACTOR={pwd.getpwuid(os.geteuid()).pw_name}" in asked("clients", "list")


def test_standard_input_reaches_the_command(stand_in):
    sent = b"a line\n" * 100_000

    received = subprocess.run(
        [COMMAND, "calls", "import", "-"], env=stand_in(systemd_run="cat"), input=sent, capture_output=True, check=True
    ).stdout

    assert received == sent


def test_the_terminal_reaches_the_command(terminal):
    process, screen = terminal(systemd_run='test -t 0 && test -t 1 && read answer && echo "read: $answer"')

    os.write(screen, b"a password\n")

    read_until(screen, b"read: a password")
    assert process.wait(20) == 0


def test_ctrl_c_on_a_terminal_stops_the_unit(terminal):
    process, screen = terminal(systemd_run="echo $$ > pid; echo begun; exec sleep 60", systemctl=STOP)
    read_until(screen, b"begun")

    os.write(screen, b"\x03")

    read_until(screen, b"stop caly-command-")
    assert process.wait(20) == 128 + signal.SIGINT


def read_until(screen: int, words: bytes) -> None:
    """A terminal hands out what is written on it in pieces."""
    seen = b""
    while words not in seen:
        seen += os.read(screen, 4096)


def test_what_is_broken_off_is_stopped(stand_in, tmp_path):
    known = stand_in(systemd_run="echo $$ > pid; echo begun; exec sleep 60", systemctl=STOP)

    with subprocess.Popen([COMMAND, "simulate"], cwd=tmp_path, env=known, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout.readline() == "begun\n"
        command.send_signal(signal.SIGTERM)
        stopped = command.stdout.read()

    assert stopped == f"stop caly-command-{command.pid}.service\n"
    assert command.returncode == 128 + signal.SIGTERM
