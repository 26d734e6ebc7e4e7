"""deploy/caly, the command for root: what it asks of systemd. Stand-ins for systemd's programs tell."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[2] / "deploy" / "caly"
TELL = '#!/bin/sh\nfor word; do echo "$word"; done\n'


@pytest.fixture
def asked(tmp_path):
    """A function that gives the words with which systemd-run was started."""
    stand_in = tmp_path / "systemd-run"
    stand_in.write_text(TELL)
    stand_in.chmod(0o755)

    def ask(*arguments: str, **environment: str) -> list[str]:
        known = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment}
        return subprocess.run(
            [COMMAND, *arguments], env=known, capture_output=True, text=True, check=True
        ).stdout.splitlines()

    return ask


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


def test_what_is_broken_off_is_stopped(tmp_path):
    for name, does in (("systemd-run", "echo begun; exec sleep 60"), ("systemctl", 'echo "$@"; kill "$(cat pid)"')):
        (tmp_path / name).write_text(f'#!/bin/sh\n[ "$1" = stop ] || echo $$ > pid\n{does}\n')
        (tmp_path / name).chmod(0o755)
    known = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    with subprocess.Popen([COMMAND, "simulate"], cwd=tmp_path, env=known, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout.readline() == "begun\n"
        command.send_signal(signal.SIGTERM)
        stopped = command.stdout.read()

    assert stopped == f"stop caly-command-{command.pid}.service\n"
    assert command.returncode == 128 + signal.SIGTERM
