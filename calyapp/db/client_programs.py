"""pg_dump and its kin: which of them to use, and how they reach a database. Not what they are used for.

The password travels in the environment, which only this user may read; a command line is everybody's.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import IO

from psycopg2.extensions import make_dsn
from sqlalchemy import make_url

from calyapp.db.child_process import dying_with_us
from calyapp.db.postgres_programs import wheel


class MaintenanceError(Exception):
    """Work on the whole database failed. The message is for the person at the terminal.

    `reason` is its first part, which holds nothing that a stranger to the machine must not know: for the trail.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


def run(name: str, *arguments: str | Path, database_url: str | None = None, output: IO[bytes] | None = None) -> str:
    """Run a program to its end and return what it printed, unless that goes to `output`.

    With `database_url` on that database. Raises `MaintenanceError` if it fails. From the main thread: the program
    is ended when its starter is.
    """
    options, environment = _connection(database_url) if database_url else ((), {})
    command = [*dying_with_us(signal.SIGTERM), str(_find(name)), *options, *map(str, arguments)]
    done = subprocess.run(  # noqa: S603  # nosec B603 # our own command
        command,
        env=os.environ | environment | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        raise MaintenanceError(_ending(name, done.returncode), _complaint(done.stderr.decode(errors="replace")))
    return (done.stdout or b"").decode()


def major_version(name: str) -> int:
    """Of the program, such as 15 or 18. Raises `MaintenanceError` if there is none."""
    return int(run(name, "--version").split()[2].partition(".")[0])


def _find(name: str) -> Path:
    """That of POSTGRES_BIN; without it that of the wheel, for the embedded server's sake, or of PATH."""
    named = os.environ.get("POSTGRES_BIN")
    folders = [named] if named else [str(wheel() or ""), os.environ.get("PATH", os.defpath)]
    found = shutil.which(name, path=os.pathsep.join(filter(None, folders)))
    if not found:
        raise MaintenanceError(
            f"There is no {name}: install PostgreSQL's client programs, or let POSTGRES_BIN name their folder."
        )
    return Path(found)


def _connection(database_url: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """What leads to the database on the command line, and what in the environment."""
    url = make_url(database_url)
    parameters = dict(url.get_dialect()().create_connect_args(url)[1])
    password = parameters.pop("password", None)
    if "sslpassword" in parameters:
        raise MaintenanceError("A key's password (sslpassword) cannot be handed to a program unseen: use a key without")
    options = ("--no-password", f"--dbname={make_dsn(**parameters)}")
    return options, {"PGPASSWORD": password} if password is not None else {}


def _ending(name: str, code: int) -> str:
    return f"{name} was ended by signal {-code}" if code < 0 else f"{name} failed with exit code {code}"


def _complaint(output: str) -> str:
    """The program's errors, without the rows and statements that it may show below them."""
    marker = "error: "
    lines = [line.partition(marker)[2] for line in output.splitlines() if marker in line]
    return "; ".join(lines)
