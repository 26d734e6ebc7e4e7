"""Fixtures that start servers for one test or one module, as operators start them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from nginx_server import Nginx
from raw_http import free_port
from running_server import ROOT, Server


@pytest.fixture
def serve(database_url, tmp_path, front) -> Iterator:
    """`serve(*gunicorn_options, **environment)` starts a server. It is stopped and cleaned up after the test.

    `inside` is prepended to its command and to those of `Server.command`.
    """
    yield from _serving(database_url, tmp_path, front)


@pytest.fixture(scope="module")
def module_serve(module_database_url, front) -> Iterator:
    """Like `serve`, but the server is shared by all tests of a module."""
    with TemporaryDirectory(prefix="caly-") as folder:
        yield from _serving(module_database_url, Path(folder), front)


@pytest.fixture
def nginx() -> Iterator[Nginx]:
    """A running nginx without a server behind it."""
    with _nginx() as nginx:
        yield nginx


def _serving(database_url: str, folder: Path, front: str) -> Iterator:
    with ExitStack() as running:

        def start(*options: str, inside: Sequence[str] = (), **overrides: str) -> Server:
            nginx = running.enter_context(_nginx()) if front == "nginx" else None
            port = nginx.port if nginx else free_port()
            environment = {
                **os.environ,
                "APP_ENV": "testing",
                "FLASK_APP": "wsgi",
                "DATABASE_URL": database_url,
                "PORT": str(port),
                "BIND": f"unix:{nginx.upstream}" if nginx else "",
                "TMPDIR": str(folder),
                "SPOOL_DIR": str(folder / "spool"),
                **overrides,
            }
            command = [*inside, sys.executable, "-m", "gunicorn", *options, "wsgi:app"]
            with (folder / "server.log").open("ab") as log:
                process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            server = Server(process, port, environment, folder / "server.log", nginx, inside)
            running.callback(_stop, server)
            _wait(server, folder / "server.log")
            return server

        yield start


@contextmanager
def _nginx() -> Iterator[Nginx]:
    with TemporaryDirectory(prefix="caly-nginx-", dir="/tmp") as folder:
        nginx = Nginx(Path(folder))
        try:
            nginx.start()
            yield nginx
        finally:
            nginx.stop()


def _stop(server: Server) -> None:
    if server.process.poll() is None:
        server.stop()


@pytest.fixture(scope="session")
def tenant():
    """`tenant(server)` adds a client from the command line and returns it, with its number and webhook key."""

    def add(server: Server, number: str = "+918047112345") -> dict:
        return server.cli("clients", "add", "--name", f"Tenant {number}", "--number", number)

    return add


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
