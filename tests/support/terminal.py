"""A command on a pseudo-terminal, as a person runs it."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MAX_SECONDS = 60


class Terminal:
    """`flask caly …` on a pseudo-terminal. `output` is everything that it printed so far, with its prompts."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._ours, theirs = os.openpty()
        self.output = ""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", sys.executable, "-m", "flask", "caly", *arguments],
            cwd=ROOT,
            env={**os.environ, "APP_ENV": "testing", "FLASK_APP": "wsgi", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def answer(self, question: str, text: str) -> None:
        """Waits for the question, and types the text."""
        self.wait_for(question)
        time.sleep(0.1)  # input typed before the echo is turned off is discarded
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Reads until the text is printed. Text that was printed before does not count."""
        start, ends_at = len(self.output), time.monotonic() + _MAX_SECONDS
        while text not in self.output[start:]:
            assert time.monotonic() < ends_at, self.output
            assert self._read(), self.output

    def end(self) -> int:
        """Reads to the end. Returns the exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(_MAX_SECONDS)

    def _read(self) -> bool:
        try:
            if select.select([self._ours], [], [], _MAX_SECONDS)[0]:
                self.output += os.read(self._ours, 65536).decode()
                return True
        except OSError:  # the other end is closed
            pass
        return False
