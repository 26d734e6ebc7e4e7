"""Servers that run for one test or one module, as operators run them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from running_server import ROOT, Server


@pytest.fixture
def serve(database_url, tmp_path) -> Iterator:
    """`serve(*gunicorn_options, **environment)`: a server that listens; stopped and cleaned up after the test."""
    yield from _serving(database_url, tmp_path)


@pytest.fixture(scope="module")
def module_serve(module_database_url) -> Iterator:
    """As `serve`, for all tests of a module together."""
    with TemporaryDirectory(prefix="caly-") as folder:
        yield from _serving(module_database_url, Path(folder))


def _serving(database_url: str, folder: Path) -> Iterator:
    servers: list[Server] = []

    def start(*options: str, **overrides: str) -> Server:
        port = _free_port()
        environment = {
            **os.environ,
            "APP_ENV": "testing",
            "FLASK_APP": "wsgi",
            "DATABASE_URL": database_url,
            "PORT": str(port),
            "TMPDIR": str(folder),
            "SPOOL_DIR": str(folder / "spool"),
            **overrides,
        }
        command = [sys.executable, "-m", "gunicorn", *options, "wsgi:app"]
        with (folder / "server.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        server = Server(process, port, environment, folder / "server.log")
        servers.append(server)
        _wait(server, folder / "server.log")
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="session")
def tenant():
    """`tenant(server)`: a client added from the command line, with its number and webhook key."""

    def add(server: Server, number: str = "+918047112345") -> dict:
        return server.cli("clients", "add", "--name", f"Tenant {number}", "--number", number)

    return add


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(server: Server, log: Path) -> None:
    for _ in range(300):
        if server.process.poll() is not None:
            break
        try:
            if server.ask("GET", "/health/ready")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail("the server does not answer:\n" + log.read_text())
