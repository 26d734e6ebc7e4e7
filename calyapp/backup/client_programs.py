"""pg_dump and its kin: which of them to use, and how they reach a database. Not what they are used for.

The password travels in the environment, which only this user may read; a command line is everybody's.
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
    """Work on the whole database failed. The message is for the person at the terminal.

    `reason` is its first part, which holds nothing that a stranger to the machine must not know: for the trail.
    `exit_code` is that of the command.
    """

    def __init__(self, reason: str, detail: str = "", *, exit_code: int = 1) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.exit_code = exit_code


def server_version(connection: Connection) -> int:
    """The server's major version, such as 15 or 18."""
    version: int = connection.execute(_SERVER_VERSION).scalar_one()
    return version


def run(
    name: str,
    *arguments: str | Path,
    server: int,
    database_url: str | None = None,
    content: Iterable[bytes] = (),
) -> str:
    """Run a program for a server of this major version to its end and return what it printed.

    With `database_url` on that database, and with `content` as its standard input. Raises `MaintenanceError` if it
    fails. From the main thread: the program is ended when its starter is.
    """
    options, environment = _connection(database_url) if database_url else ((), {})
    return _complete([str(_find(name, server)), *options, *map(str, arguments)], environment, content)


def _complete(command: list[str], environment: dict[str, str], content: Iterable[bytes] = ()) -> str:
    # Files, not pipes: nothing is read from them before the content is written, however much the program says.
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
                process.kill()  # before its input ends: it might take half of it for the whole
                _end_input(process)
                raise
        if process.returncode != 0:
            raise MaintenanceError(_ending(Path(command[0]).name, process.returncode), _complaint(_text(errors)))
        return _text(output)


def _feed(process: "subprocess.Popen[bytes]", content: Iterable[bytes]) -> None:
    """Give the program its input. If it does not take all of it, its exit code says whether that is well."""
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
    """The oldest that knows such a server: what a newer one writes, this server might not take back."""
    versions = {path: _major_version(path) for path in _installed(name)}
    fit = {path: version for path, version in versions.items() if version >= server}
    if not fit:
        raise MaintenanceError(
            f"{_of_versions(name, versions.values())}, and PostgreSQL here is version {server}: install the client "
            f"programs of version {server}, or let POSTGRES_BIN name their folder."
        )
    return min(fit, key=lambda path: fit[path])


def _installed(name: str) -> list[Path]:
    """That of POSTGRES_BIN; without it those of the wheel and of PATH."""
    named = os.environ.get("POSTGRES_BIN")
    folders = [named] if named else [str(wheel() or ""), os.environ.get("PATH", os.defpath)]
    found = [shutil.which(name, path=folder) for folder in folders if folder]
    return [Path(path) for path in found if path]


def _major_version(program: Path) -> int:
    return int(_complete([str(program), "--version"], {}).split()[2].partition(".")[0])


def _of_versions(name: str, versions: Iterable[int]) -> str:
    listed = " and ".join(map(str, sorted(versions)))
    return f"{name} here is version {listed}" if listed else f"There is no {name} here"


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
    """The program's errors, without the rows and statements that it may show below them.

    What is none of PostgreSQL's, but keeps its program from running, says so in its last line.
    """
    marker, lines = "error: ", output.splitlines()
    errors = [line.partition(marker)[2] for line in lines if marker in line]
    return "; ".join(errors or lines[-1:])


_SERVER_VERSION = named("read_server_version", "SELECT current_setting('server_version_num')::int / 10000")
