"""Tests reloads and restarts under traffic, through nginx: no delivery is refused."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from child_processes import children
from reconciliation import Reconciliation
from running_server import ROOT, Server, eventually, webhook
from traffic import Traffic

STREAM_BASE_URL = "wss://media.example.com"
RATE = 100
TIMES = 10
DOWN_SECONDS = 3  # about five without a server, including stop and start


class Unit:
    """Does what systemd does with `caly.socket` and `caly.service`: holds the socket, starts and stops the server."""

    def __init__(self, path: str, environment: dict[str, str], log: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(4096)
        self.environment = environment
        self.log = log

    def start(self) -> None:
        # The shell sets LISTEN_PID to its own id before exec, as systemd does between fork and exec.
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
def test_ten_at_100_deliveries_a_second_refuse_and_break_nothing(unit, nginx, tenant, query, disturb):
    server = Server(unit.process, nginx.port, unit.environment, unit.log)
    eventually(lambda: server.ask("GET", "/health/ready")[0] == 200)
    traffic = Traffic(server, [tenant(server)], rate=RATE)

    traffic.start()
    for _ in range(TIMES):
        before = set(children(unit.process.pid))
        disturb(unit)
        eventually(lambda before=before: len(set(children(unit.process.pid)) - before) == 2)
        answered = len(traffic.attempts)
        eventually(lambda answered=answered: len(traffic.attempts) > answered + RATE)
    traffic.stop()

    assert [attempt.failure for attempt in traffic.attempts if attempt.failure] == []
    assert {attempt.status for attempt in traffic.attempts} == {200}
    eventually(lambda: server.cli("spool", "status")["depth"] == 0)
    assert Reconciliation(query, traffic.attempts, STREAM_BASE_URL).discrepancies().all == []


@pytest.mark.timeout(120)
def test_an_outage_of_five_seconds_refuses_no_delivery(unit, nginx, tenant):
    """Sends as Exotel does: each delivery on its own connection, without waiting for earlier answers."""
    server = Server(unit.process, nginx.port, unit.environment, unit.log)
    eventually(lambda: server.ask("GET", "/health/ready")[0] == 200)
    arrivals = Arrivals(nginx.port, webhook(tenant(server), "call-start"), rate=RATE)

    with ThreadPoolExecutor(1) as pool:
        # To the end of the outage: a busy machine may need long afterwards. Debian's 768 connections hold 384 requests,
        # fewer than arrive in the outage.
        answers = pool.submit(arrivals.run, seconds=6)
        time.sleep(1)
        unit.stop()
        time.sleep(DOWN_SECONDS)
        unit.start()

    assert answers.result() == {200: 6 * RATE}


class Arrivals:
    """Deliveries that are sent at a constant rate, and wait for their answers concurrently."""

    def __init__(self, port: int, path: str, *, rate: int) -> None:
        self._port = port
        self._path = path
        self._rate = rate

    def run(self, *, seconds: int) -> Counter[int | str]:
        """Returns the number of deliveries by status, or by the name of the connection error."""
        return asyncio.run(self._run(seconds))

    async def _run(self, seconds: int) -> Counter[int | str]:
        began = time.monotonic()
        waiting = []
        for number in range(self._rate * seconds):
            await asyncio.sleep(began + number / self._rate - time.monotonic())
            waiting.append(asyncio.create_task(self._deliver(number)))
        return Counter(await asyncio.gather(*waiting))

    async def _deliver(self, number: int) -> int | str:
        target = f"{self._path}&CallSid=restart{number}&From=09876543210&To=08047112345"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(f"GET {target} HTTP/1.1\r\nHost: caly\r\nConnection: close\r\n\r\n".encode())
            status_line = (await reader.read()).partition(b"\r\n")[0]
            writer.close()
            return int(status_line.split()[1])
        except (OSError, IndexError) as failure:
            return type(failure).__name__
