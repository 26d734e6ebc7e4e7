"""Runs PostgreSQL's client programs: which version to use, and how they connect to a database.

The password is passed in the environment, which only this user can read. All users can read a command line.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from psycopg2.extensions import make_dsn
from sqlalchemy import Connection, make_url

from calyapp.db.queries import named
from calyapp.embedded.child_process import dying_with_us
from calyapp.embedded.postgres_programs import wheel


class MaintenanceError(Exception):
    """A backup or restore failed. The message is for the operator.

    `reason` is its first part, which contains nothing confidential, for the audit log. `exit_code` is the command's.
    """

    def __init__(self, reason: str, detail: str = "", *, exit_code: int = 1) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.exit_code = exit_code


def server_version(connection: Connection) -> int:
    """Returns the server's major version, for example 15."""
    version: int = connection.execute(_SERVER_VERSION).scalar_one()
    return version


def run(
    name: str,
    *arguments: str | Path,
    server: int,
    database_url: str | None = None,
    content: Iterable[bytes] = (),
) -> str:
    """Runs a program for a server of this major version to its end. Returns what it printed.

    With `database_url` it connects to that database, and `content` is its standard input. Raises `MaintenanceError`
    if it fails. Must be called from the main thread: the program ends when the thread that started it ends.
    """
    options, environment = _connection(database_url) if database_url else ((), {})
    return _complete([str(_find(name, server)), *options, *map(str, arguments)], environment, content)


def _complete(command: list[str], environment: dict[str, str], content: Iterable[bytes] = ()) -> str:
    # Files, not pipes: a full pipe would block the program while its input is still being written.
    with TemporaryFile() as output, TemporaryFile() as errors:
        with subprocess.Popen(  # noqa: S603 — our own command
            [*dying_with_us(signal.SIGTERM), *command],
            env=os.environ | environment | {"LC_ALL": "C"},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
        ) as process:
            try:
                _feed(process, content)
                process.wait()
            except BaseException:
                process.kill()  # before its input ends, or it could take half of the content for the whole
                _end_input(process)
                raise
        if process.returncode != 0:
            raise MaintenanceError(_ending(Path(command[0]).name, process.returncode), _complaint(_text(errors)))
        return _text(output)


def _feed(process: "subprocess.Popen[bytes]", content: Iterable[bytes]) -> None:
    """Writes the program's input. If the program does not read all of it, its exit code decides."""
    if process.stdin is None:
        return
    with suppress(BrokenPipeError):
        for chunk in content:
            process.stdin.write(chunk)
    _end_input(process)


def _end_input(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        with suppress(BrokenPipeError):
            process.stdin.close()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _find(name: str, server: int) -> Path:
    """Returns the oldest program that supports the server: the server may not read what a newer one writes."""
    versions = {path: _major_version(path) for path in _installed(name)}
    fit = {path: version for path, version in versions.items() if version >= server}
    if not fit:
        raise MaintenanceError(
            f"{_of_versions(name, versions.values())}, and the server has version {server}. Install the client "
            f"programs of version {server}, or set POSTGRES_BIN to their folder."
        )
    return min(fit, key=lambda path: fit[path])


def _installed(name: str) -> list[Path]:
    """Returns the programs in POSTGRES_BIN, or without it those of the wheel and of PATH."""
    named = os.environ.get("POSTGRES_BIN")
    folders = [named] if named else [str(wheel() or ""), os.environ.get("PATH", os.defpath)]
    programs = [shutil.which(name, path=folder) for folder in folders if folder]
    return [Path(path) for path in programs if path]


def _major_version(program: Path) -> int:
    return int(_complete([str(program), "--version"], {}).split()[2].partition(".")[0])


def _of_versions(name: str, versions: Iterable[int]) -> str:
    listed = " and ".join(map(str, sorted(versions)))
    return f"{name} here is version {listed}" if listed else f"There is no {name} here"


def _connection(database_url: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Returns the options and the environment that connect to the database."""
    url = make_url(database_url)
    parameters = dict(url.get_dialect()().create_connect_args(url)[1])
    password = parameters.pop("password", None)
    if "sslpassword" in parameters:
        raise MaintenanceError(
            "The password of a TLS key (sslpassword) cannot be passed to a program safely. Use a key without one"
        )
    options = ("--no-password", f"--dbname={make_dsn(**parameters)}")
    return options, {"PGPASSWORD": password} if password is not None else {}


def _ending(name: str, code: int) -> str:
    return f"{name} was ended by signal {-code}" if code < 0 else f"{name} failed with exit code {code}"


def _complaint(output: str) -> str:
    """Returns the program's errors, without the rows and statements that it may print below them.

    An error that is not PostgreSQL's, such as one of the loader, is in the last line.
    """
    marker, lines = "error: ", output.splitlines()
    errors = [line.partition(marker)[2] for line in lines if marker in line]
    return "; ".join(errors or lines[-1:])


_SERVER_VERSION = named("read_server_version", "SELECT current_setting('server_version_num')::int / 10000")
