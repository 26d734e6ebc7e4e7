"""Tests the units of deploy/systemd, and has systemd check them where the machine has it."""

import os
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from nginx_server import SITE
from running_server import ROOT

UNITS = ROOT / "deploy" / "systemd"
SERVICES = [path.name for path in sorted(UNITS.glob("*.service"))]
TIMERS = [path.name for path in sorted(UNITS.glob("*.timer"))]
PROGRAMS = ("opt/caly/.venv/bin/gunicorn", "opt/caly/.venv/bin/flask", "bin/kill")
MOST_EXPOSED = 15  # tenths
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")


def read(name: str) -> dict[str, list[str]]:
    """Returns all values of each directive, including those of the drop-in for every service."""
    found = defaultdict(list)
    drop_ins = UNITS / re.sub(r"^caly-\w+\.", "caly-.", f"{name}.d")
    for file in (UNITS / name, *drop_ins.glob("*.conf")):
        for directive, value in re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE):
            found[directive].append(value)
    return found


def seconds(value: str) -> int:
    return int(value.removesuffix("s"))


def test_gunicorn_has_time_to_finish_before_systemd_kills_it():
    (graceful,) = re.findall(r"^graceful_timeout = (\d+)", (ROOT / "gunicorn.conf.py").read_text(), re.MULTILINE)

    assert seconds(read("caly.service")["TimeoutStopSec"][0]) > int(graceful) + 5
    assert read("caly.service")["KillMode"] == ["mixed"]


def test_nginx_and_the_socket_unit_use_the_same_path():
    (place,) = read("caly.socket")["ListenStream"]

    assert f"server unix:{place} " in SITE.read_text()


def test_a_restart_keeps_the_socket_open():
    assert read("caly.service")["Requires"] == ["caly.socket"]
    assert read("caly.service")["StartLimitIntervalSec"] == ["0"]
    # With it, systemd would remove the socket's folder when the service stops.
    assert not read("caly.service")["RuntimeDirectory"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_runs_in_the_sandbox(service):
    unit = read(service)

    assert unit["User"] == ["caly"]
    assert unit["EnvironmentFile"] == ["/etc/caly/caly.env"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["CapabilityBoundingSet"] == [""]


@pytest.mark.parametrize("timer", TIMERS)
def test_every_timer_has_a_service_and_catches_up_on_a_missed_run(timer):
    assert timer.replace(".timer", ".service") in SERVICES
    assert read(timer)["Persistent"] == ["true"]
    assert "[Install]" in (UNITS / timer).read_text()


@pytest.fixture
def installed(tmp_path) -> Path:
    """A root directory with the units, and an empty executable for each program that they start."""
    system = tmp_path / "etc" / "systemd" / "system"
    shutil.copytree(UNITS, system, symlinks=True)
    known = tmp_path / "usr" / "lib" / "systemd" / "system"
    known.mkdir(parents=True)
    for target in Path("/usr/lib/systemd/system").glob("*.target"):
        shutil.copy(target, known, follow_symlinks=False)
    for program in PROGRAMS:
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    return tmp_path


@needs_systemd
def test_systemd_accepts_all_units(installed):
    names = sorted(path.name for path in UNITS.iterdir() if path.is_file())

    assert analyze("verify", "--man=no", f"--root={installed}", *names) == (0, "")


@needs_systemd
@pytest.mark.parametrize("service", SERVICES)
def test_systemd_rates_the_exposure_as_low(installed, service):
    limits = (f"--threshold={MOST_EXPOSED}", "--offline=true", f"--root={installed}")

    assert analyze("security", *limits, service) == (0, "")


def analyze(*arguments: str) -> tuple[int, str]:
    """Runs systemd-analyze. Returns the exit code and its warnings."""
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    done = subprocess.run(["systemd-analyze", *arguments], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr
