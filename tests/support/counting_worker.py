"""A process that counts metrics as a worker does, alone or together with others."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]

ANSWER_EXPRESSIONS = """
import json, sys
from calyapp import metrics
from calyapp.health import figures
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""


class Worker:
    """A process that imports the metrics and the figures, and evaluates expressions."""

    def __init__(self, directory: Path | None) -> None:
        environ = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
        if directory is not None:
            environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
        self._process = subprocess.Popen(
            [sys.executable, "-c", ANSWER_EXPRESSIONS],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def ask(self, expression: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(expression, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def answer_requests(self, count: int, *, endpoint: str = "webhooks.call_start", status: int = 200) -> None:
        self.ask(f"[metrics.HTTP_REQUESTS.labels('{endpoint}', 'POST', '{status}').inc() for _ in range({count})]")

    def observe(self, endpoint: str, *seconds: float) -> None:
        self.ask(f"[metrics.HTTP_REQUEST_SECONDS.labels('{endpoint}').observe(s) for s in {seconds!r}]")

    def summary(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("figures.summary()")
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class StartWorker(Protocol):
    """The type of the fixture that starts workers. Those with the same directory count together, others alone."""

    def __call__(self, directory: Path | None) -> Worker: ...
