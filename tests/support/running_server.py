"""A running Caly, seen from outside. Imports nothing of calyapp."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from child_processes import children

if TYPE_CHECKING:
    from nginx_server import Nginx

ROOT = Path(__file__).parents[2]


class Server:
    """A Gunicorn that runs Caly. `pid` is that of the master. `port` is that of the nginx in front, if there is one.

    `inside` is prepended to every command, to enter the namespace in which Gunicorn runs.
    """

    def __init__(
        self,
        process: subprocess.Popen,
        port: int,
        environment: dict[str, str],
        log: Path,
        nginx: "Nginx | None" = None,
        inside: Sequence[str] = (),
    ) -> None:
        self.pid = process.pid
        self.process = process
        self.port = port
        self.nginx = nginx
        self.environment = environment
        self.log = log
        self._inside = inside

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, method: str, path: str, fields: dict | None = None) -> tuple[int, dict]:
        """Sends a request on a new connection, with `fields` as a form. Returns status and JSON."""
        connection = self.connect()
        try:
            return ask(connection, method, path, fields)
        finally:
            connection.close()

    def cli(self, *arguments: str, stdin: str = "") -> dict:
        """Runs `flask caly … --json` beside the server, as an operator does. Returns the JSON."""
        return json.loads(self.command(*arguments, "--json", stdin=stdin).stdout)

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
        """Runs `flask caly …`. Returns the ended process with its output."""
        command = [*self._inside, sys.executable, "-m", "flask", "caly", *arguments]
        options = {"cwd": ROOT, "env": self.environment, "input": stdin}
        return subprocess.run(command, **options, capture_output=True, text=True, check=True)

    def readiness(self) -> tuple[int, str]:
        """Returns the readiness of one worker: the HTTP status, and the `status` in the body."""
        status, body = self.ask("GET", "/health/ready")
        return status, body["status"]

    def log_lines(self) -> list[dict]:
        """Returns the log lines of Caly so far. Lines of Gunicorn are not JSON, and are left out."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def workers(self) -> list[int]:
        """Returns the process ids of the workers, the oldest first. Some may still be starting."""
        return children(self.pid)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


def ask(connection: HTTPConnection, method: str, path: str, fields: dict | None = None) -> tuple[int, dict]:
    """Does the same as `Server.ask` on an open connection, and keeps it open."""
    body = urlencode(fields) if fields else None
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if fields else {}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or "{}")


def webhook(tenant: dict, route: str) -> str:
    """Returns the path and query of the tenant's webhook for this route."""
    query = urlsplit(tenant["webhookUrl"]).query
    return f"/webhooks/exotel/{route}?{query}"


def eventually(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits until the condition holds. Fails after `seconds`."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, "it never came to be"
        time.sleep(0.05)
