"""deploy/caly, the command for root, and its calls of systemd. Shell scripts replace the programs of systemd."""

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
    """A function that replaces programs with shell scripts and returns the environment whose PATH finds them."""

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
    """A function that returns the arguments with which systemd-run was started."""

    def ask(*arguments: str, **environment: str) -> list[str]:
        known = {**stand_in(systemd_run=TELL), **environment}
        return subprocess.run(
            [COMMAND, *arguments], env=known, capture_output=True, text=True, check=True
        ).stdout.splitlines()

    return ask


@pytest.fixture
def terminal(stand_in, tmp_path):
    """A function that starts the command on a new terminal and returns its process and the terminal."""
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


def test_the_unit_name_selects_the_sandbox(asked):
    (unit,) = [word for word in asked("clients", "list") if word.startswith("--unit=")]

    assert unit.startswith("--unit=caly-")


def test_arguments_are_passed_unchanged(asked):
    words = asked("clients", "add", "--name", "Asha  Clinics")

    assert words[-7:] == ["/opt/caly", ".venv/bin/flask", "caly", "clients", "add", "--name", "Asha  Clinics"]


def test_migrations_of_another_release_can_run(asked):
    words = asked("alembic", "upgrade", "head", CALY_RELEASE="/opt/caly-releases/2.0.0")

    assert words[-6:] == ["/opt/caly-releases/2.0.0", ".venv/bin/alembic", "-c", "setup.cfg", "upgrade", "head"]


def test_the_description_contains_no_argument(asked):
    (description,) = [word for word in asked("simulate", "--key", "cwk_secret") if word.startswith("--description")]

    assert "cwk_secret" not in description


def test_the_actor_is_the_user_of_sudo(asked):
    assert "--setenv=CALY_ACTOR=priya" in asked("clients", "list", SUDO_USER="priya")


def test_the_actor_is_the_process_owner_without_a_login(asked, stand_in):
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
    """Reads until the words arrive, because a terminal returns its output in pieces."""
    seen = b""
    while words not in seen:
        seen += os.read(screen, 4096)


def test_sigterm_stops_the_unit(stand_in, tmp_path):
    known = stand_in(systemd_run="echo $$ > pid; echo begun; exec sleep 60", systemctl=STOP)

    with subprocess.Popen([COMMAND, "simulate"], cwd=tmp_path, env=known, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout.readline() == "begun\n"
        command.send_signal(signal.SIGTERM)
        stopped = command.stdout.read()

    assert stopped == f"stop caly-command-{command.pid}.service\n"
    assert command.returncode == 128 + signal.SIGTERM
