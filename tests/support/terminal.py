"""A command on a terminal of its own, as a person runs it."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PATIENCE = 60


class Terminal:
    """`flask caly …` on a pseudo-terminal; `said` is everything that it printed so far, its questions included."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._ours, theirs = os.openpty()
        self.said = ""
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
        """Wait for the question, and type a line."""
        self.wait_for(question)
        time.sleep(0.1)  # it clears what was typed before it turned off the echo
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until it is said; what was said before does not count again."""
        start, ends_at = len(self.said), time.monotonic() + _PATIENCE
        while text not in self.said[start:]:
            assert time.monotonic() < ends_at, self.said
            assert self._read(), self.said

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(_PATIENCE)

    def _read(self) -> bool:
        try:
            if select.select([self._ours], [], [], _PATIENCE)[0]:
                self.said += os.read(self._ours, 65536).decode()
                return True
        except OSError:  # the other end is closed
            pass
        return False
