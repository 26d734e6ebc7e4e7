"""The embedded PostgreSQL server for development and tests: it has a folder for its data and ends with its starter.

    python -m calyapp.embedded.server [--join] [--database NAME] DATA COMMAND...

runs COMMAND beside such a server. DATABASE_URL leads to its database NAME, `caly` by default, which is created if it
does not exist. With --join, COMMAND uses the server that already runs in DATA, if there is one. Knows nothing of tables
and engines.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import psycopg2
from psycopg2.sql import SQL, Identifier

from calyapp import file_lock
from calyapp.embedded import child_process
from calyapp.embedded.postgres_programs import EmbeddedUnavailable, Programs, binaries

__all__ = ["EmbeddedUnavailable", "binaries", "main", "running", "url"]

_START_TIMEOUT = 60  # seconds; recovery after a crash is part of a start
_PORT = "5432"  # only a part of the socket's name; fixed, because PGPORT would change it
_NOT_DURABLE = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class AlreadyRunning(EmbeddedUnavailable):
    """Another process already runs a server in the folder."""


def url(data: Path, database: str = "caly") -> str:
    """Returns the URL of the server in the folder `data`, whichever process of this user started it."""
    return f"postgresql+psycopg2://caly@/{quote(database, safe='')}?host={quote(str(_sockets(data)))}&port={_PORT}"


def _sockets(data: Path) -> Path:
    # In the temporary folder, because the path of a socket is limited to 107 bytes.
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"caly-{os.geteuid()}-{digest}"


@contextmanager
def running(data: Path, *, durable: bool = True, max_connections: int = 100) -> Iterator[str]:
    """Runs a server in the folder `data`, which is created if needed. Yields the URL of its database `caly`.

    Its log and its lock file are next to the folder. `durable=False` is faster, for data that need not survive a crash
    of the machine. Raises `EmbeddedUnavailable`.
    """
    with _started(data, durable=durable, max_connections=max_connections):
        yield url(data)


@contextmanager
def _started(data: Path, *, durable: bool, max_connections: int) -> Iterator[subprocess.Popen[bytes]]:
    data = data.resolve()
    data.parent.mkdir(parents=True, exist_ok=True)
    with _exclusively(data) as lock:
        programs = Programs(binaries(), lock)
        if not data.exists() or not any(data.iterdir()):
            _initialise(programs, data, durable=durable)
        _check_version(programs, data)
        settings = ("-c", f"max_connections={max_connections}", *(() if durable else _NOT_DURABLE))
        with _socket_folder(data) as sockets, _server(programs, data, sockets, settings) as server:
            yield server


@contextmanager
def _exclusively(data: Path) -> Iterator[int]:
    lock = file_lock.try_acquire(data.with_name(data.name + ".lock"))
    if lock is None:
        raise AlreadyRunning(
            f"A PostgreSQL server already runs in {data}. Stop the program that started it, "
            f"or use that server with DATABASE_URL='{url(data)}'."
        )
    try:
        yield lock
    finally:
        os.close(lock)  # not released: if we are interrupted, a server that still runs keeps the lock


def _initialise(programs: Programs, data: Path, *, durable: bool) -> None:
    # Created under another name, then renamed, so that an interrupted start never leaves an incomplete folder.
    new = data.with_name(data.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    sync_options = () if durable else ("--no-sync",)
    programs.run("initdb", "-D", new, "-U", "caly", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", *sync_options)
    settings = ("-c", "exit_on_error=on", *(() if durable else _NOT_DURABLE))
    programs.run("postgres", "--single", "-D", new, *settings, "postgres", statement="CREATE DATABASE caly\n")
    new.rename(data)


def _check_version(programs: Programs, data: Path) -> None:
    version_file = data / "PG_VERSION"
    if not version_file.is_file():
        raise EmbeddedUnavailable(f"{data} is not empty and not a data folder of PostgreSQL. Choose another folder.")
    data_version, our_version = version_file.read_text().strip(), programs.major_version()
    if data_version != our_version:
        raise EmbeddedUnavailable(
            f"{data} belongs to PostgreSQL {data_version}, and {programs.folder} is version {our_version}. "
            f"Set POSTGRES_BIN to the programs of version {data_version}, or move the folder away."
        )


@contextmanager
def _socket_folder(data: Path) -> Iterator[Path]:
    folder = _sockets(data)
    shutil.rmtree(folder, ignore_errors=True)  # left if the starter was killed
    try:
        folder.mkdir(mode=0o700)  # the only protection: the server trusts every connection
    except FileExistsError:
        raise EmbeddedUnavailable(f"{folder}, in which the server would listen, belongs to another user.") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server(
    programs: Programs, data: Path, sockets: Path, settings: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    log = _log(data)
    listening = ("-k", sockets, "-p", _PORT, "-c", "listen_addresses=")
    with log.open("wb") as output:  # truncated at each start, so that it stays small
        server = programs.start("postgres", "-D", data, *listening, *settings, output=output)
    try:
        _wait_until_ready(programs, server, sockets, log)
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def _wait_until_ready(programs: Programs, server: subprocess.Popen[bytes], sockets: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not _answers(programs, sockets):
        if server.poll() is not None or time.monotonic() > deadline:
            last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise EmbeddedUnavailable(f"PostgreSQL did not start. The end of {log}:\n{last_lines}")
        time.sleep(0.02)


def _answers(programs: Programs, sockets: Path) -> bool:
    return programs.succeeds("pg_isready", "-h", sockets, "-p", _PORT, "-U", "caly", "-d", "caly")


def _log(data: Path) -> Path:
    return data.with_name(data.name + ".log")


def main(arguments: Sequence[str]) -> int:
    """Runs a command beside a server and returns its exit code. With DATABASE_URL set, becomes the command."""
    options = _parser().parse_args(arguments)
    command = [options.command, *options.arguments]
    if os.environ.get("DATABASE_URL"):
        os.execvp(command[0], command)  # noqa: S606 — the command is our caller's
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        return _run(options.data, options.database, command, join=options.join)
    except (EmbeddedUnavailable, OSError) as reason:
        sys.stderr.write(f"{reason}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m calyapp.embedded.server", allow_abbrev=False)
    parser.add_argument("--join", action="store_true", help="use the server that already runs in DATA, if there is one")
    parser.add_argument("--database", default="caly", metavar="NAME", help="created if it does not exist")
    parser.add_argument("data", type=Path, metavar="DATA", help="the server's folder")
    parser.add_argument("command", metavar="COMMAND", help="what to run, with DATABASE_URL set")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _run(data: Path, database: str, command: list[str], *, join: bool) -> int:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            with _started(data, durable=True, max_connections=100) as server:
                code = child_process.run(command, _environment(data, database), needed=server)
                if server.poll() is not None:
                    ending = _ending(server.returncode)
                    raise EmbeddedUnavailable(
                        f"PostgreSQL stopped unexpectedly ({ending}), so the command was stopped too. "
                        f"See {_log(data)}. Committed data is kept: run the command again."
                    )
                return code
        except AlreadyRunning:
            # The other process may still be starting its server, or be stopping it.
            if not join or time.monotonic() > deadline:
                raise
        if _answers(Programs(binaries()), _sockets(data)):
            os.execvpe(command[0], command, _environment(data, database))  # noqa: S606 — our caller's
        time.sleep(0.1)


def _environment(data: Path, database: str) -> dict[str, str]:
    if database != "caly":
        _ensure_database(data, database)
    return {**os.environ, "DATABASE_URL": url(data, database)}


def _ensure_database(data: Path, database: str) -> None:
    connection = psycopg2.connect(host=str(_sockets(data)), port=_PORT, user="caly", dbname="caly")
    connection.autocommit = True
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (database,))
        if cursor.rowcount == 0:
            cursor.execute(SQL("CREATE DATABASE {}").format(Identifier(database)))


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _leave(number: int, _frame: FrameType | None) -> None:
    # Raises SystemExit, so that all started programs are stopped.
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
