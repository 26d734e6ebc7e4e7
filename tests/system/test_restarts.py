"""Reloads and restarts under traffic, through nginx: nobody notices."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from reckoning import Reckoning
from running_server import ROOT, Server, eventually
from traffic import Traffic

STREAM_BASE_URL = "wss://media.example.com"
RATE = 100
TIMES = 10


class Unit:
    """What systemd does with `caly.socket` and `caly.service`: it holds the socket, and starts and stops the rest."""

    def __init__(self, path: str, environment: dict[str, str], log: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(4096)
        self.environment = environment
        self.log = log

    def start(self) -> None:
        # The process that is started puts its own id into LISTEN_PID, as systemd does between fork and exec.
        gunicorn = f'exec "{sys.executable}" -m gunicorn wsgi:app 3<&{self._socket.fileno()}'
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", f"export LISTEN_PID=$$ LISTEN_FDS=1; {gunicorn}"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                pass_fds=[self._socket.fileno()],
            )

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(40) == 0

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        self._socket.close()


@pytest.fixture
def unit(database_url, nginx, tmp_path) -> Iterator[Unit]:
    environment = {
        **os.environ,
        "APP_ENV": "testing",
        "FLASK_APP": "wsgi",
        "DATABASE_URL": database_url,
        "WEB_CONCURRENCY": "2",
        "RATELIMIT_WEBHOOK": "1000000/minute",
        "STREAM_BASE_URL": STREAM_BASE_URL,
        "SPOOL_DIR": str(tmp_path / "spool"),
        "TMPDIR": str(tmp_path),
    }
    unit = Unit(str(nginx.upstream), environment, tmp_path / "server.log")
    unit.start()
    yield unit
    unit.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("disturb", [Unit.reload, Unit.restart], ids=["reload", "restart"])
def test_ten_under_a_hundred_a_second_refuse_and_break_nothing(unit, nginx, tenant, query, disturb):
    server = Server(unit.process, nginx.port, unit.environment, unit.log)
    eventually(lambda: server.ask("GET", "/health/ready")[0] == 200)
    traffic = Traffic(server, [tenant(server)], rate=RATE)

    traffic.start()
    for _ in range(TIMES):
        before = set(_workers(unit))
        disturb(unit)
        eventually(lambda before=before: len(set(_workers(unit)) - before) == 2)
        answered = len(traffic.attempts)
        eventually(lambda answered=answered: len(traffic.attempts) > answered + RATE)
    traffic.stop()

    assert [attempt.failure for attempt in traffic.attempts if attempt.failure] == []
    assert {attempt.status for attempt in traffic.attempts} == {200}
    eventually(lambda: server.cli("spool", "status")["depth"] == 0)
    assert Reckoning(query, traffic.attempts, STREAM_BASE_URL).findings().faults == []


def _workers(unit: Unit) -> list[str]:
    listed = subprocess.run(["pgrep", "-P", str(unit.process.pid)], capture_output=True, text=True, check=False)
    return listed.stdout.split()
