"""A backup: all of the database in one file, in PostgreSQL's custom format, with its checksum beside it.

A file under its final name is complete, on the disk, and was read to its end. Knows nothing of commands and the trail.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from calyapp import clock, file_lock
from calyapp.backup import client_programs
from calyapp.backup.client_programs import MaintenanceError
from calyapp.db import tenancy
from calyapp.db.queries import named
from calyapp.file_lock import LockHeldError

_PARTIAL, _CHECKSUM = ".partial", ".sha256"
_FILES = "caly-*.dump"
# A migration for whose locks pg_dump waits is through, or has given up, before that long.
_OPTIONS = ("--format=custom", "--lock-wait-timeout=60s")
# Else pg_dump gives up on tables whose policies hold for whoever makes the backup.
_UNDER_POLICIES = ("--enable-row-security",)


@dataclass(frozen=True, slots=True)
class Contents:
    """What there is to back up: the server's major version, the bytes of tables and indexes, and about how many rows.

    The rows are the server's own estimates: to count them would take as long as to dump them. `has_policies` tells that
    our policies hold for this role; they hide nothing from it.
    """

    version: int
    bytes: int
    rows: dict[str, int]
    has_policies: bool


@dataclass(frozen=True, slots=True)
class Backup:
    """A complete one: its size in bytes, how many seconds it took, and which older ones had to go for it."""

    file: Path
    bytes: int
    seconds: float
    removed: list[str]


def survey(connection: Connection) -> Contents:
    """Look at the database before it is backed up. Raises `MaintenanceError` where it may hide rows from us."""
    if hiding := tenancy.hiding_tables(connection):
        raise MaintenanceError(
            f"Row-level security may hide rows of {', '.join(hiding)} from this role: let one with BYPASSRLS do it."
        )
    return Contents(
        version=client_programs.server_version(connection),
        bytes=connection.execute(_SIZE).scalar_one(),
        rows={table.name: table.rows for table in connection.execute(_ROWS)},
        has_policies=tenancy.holds_for_us(connection),
    )


def make(database_url: str, folder: Path, contents: Contents, *, keep: int) -> Backup:
    """Add a backup to `folder`, and remove all but the newest `keep`. Raises `MaintenanceError`."""
    began = time.monotonic()
    try:
        with _alone(folder):
            _remove_unfinished(folder)
            _check_space(folder, contents)
            file = folder / f"caly-{clock.now():%Y%m%dT%H%M%S.%fZ}.dump"
            _dump(database_url, file, contents)
            removed = _remove_old(folder, keep)
            return Backup(file, file.stat().st_size, round(time.monotonic() - began, 1), removed)
    except OSError as error:
        raise MaintenanceError(f"The backup could not be written ({error.strerror})", str(folder)) from error


def checksum_file(file: Path) -> Path:
    """Where a backup's checksum stands, as `sha256sum --check` reads it."""
    return file.with_name(file.name + _CHECKSUM)


def checksum(file: Path) -> str:
    """SHA-256 of the file, as hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with file_lock.exclusive(folder / "backup.lock"):
            yield
    except LockHeldError:
        raise MaintenanceError("Another backup into this folder is being made") from None


def _remove_unfinished(folder: Path) -> None:
    """What a backup that was killed has left: nobody else can be writing it."""
    for file in folder.glob(f"{_FILES}{_PARTIAL}"):
        file.unlink()
    for file in folder.glob(f"{_FILES}{_CHECKSUM}"):
        if not file.with_name(file.name.removesuffix(_CHECKSUM)).exists():
            file.unlink()


def _check_space(folder: Path, contents: Contents) -> None:
    """Room for half as much again as the newest backup; of the first all is unknown but the database's."""
    newest = _finished(folder)[-1:]
    needed = newest[0].stat().st_size * 3 // 2 if newest else contents.bytes
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MaintenanceError(
            f"There is too little room for a backup: {_megabytes(free)} MB are free, and {_megabytes(needed)} needed."
        )


def _dump(database_url: str, file: Path, contents: Contents) -> None:
    options = _OPTIONS + _UNDER_POLICIES if contents.has_policies else _OPTIONS
    server = contents.version
    partial = file.with_name(file.name + _PARTIAL)
    try:
        partial.touch(mode=0o600, exist_ok=False)  # first, for pg_dump would make it readable to others
        # By --file, which it syncs itself, not by its output: there version 18 writes the list of contents twice, and
        # nobody would notice if the end were lost.
        client_programs.run("pg_dump", *options, f"--file={partial}", server=server, database_url=database_url)
        _verify(partial, server)
        _write_checksum(file, checksum(partial))
        partial.rename(file)
        _sync_folder(file.parent)
    finally:
        partial.unlink(missing_ok=True)


def _verify(file: Path, server: int) -> None:
    # To its end: the list of contents alone, `--list`, stands at the beginning, and a cut file has it too.
    client_programs.run("pg_restore", "--file=/dev/null", file, server=server)


def _write_checksum(file: Path, digest: str) -> None:
    with open(checksum_file(file), "x", opener=_private) as output:
        output.write(f"{digest}  {file.name}\n")
        output.flush()
        os.fsync(output.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_old(folder: Path, keep: int) -> list[str]:
    old = _finished(folder)[:-keep]
    for file in old:
        file.unlink()
        checksum_file(file).unlink(missing_ok=True)
    return [file.name for file in old]


def _finished(folder: Path) -> list[Path]:
    """The oldest first: their names tell."""
    return sorted(folder.glob(_FILES))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _megabytes(count: int) -> int:
    return round(count / 1_000_000)


# Neither waits for a lock, whatever migration is going on.
_SIZE = named("measure_database", "SELECT pg_database_size(current_database())")
_ROWS = named(
    "estimate_rows",
    "SELECT coalesce(pg_partition_root(relid), relid)::regclass::text AS name, sum(n_live_tup)::bigint AS rows "
    "FROM pg_stat_user_tables JOIN pg_class ON pg_class.oid = relid WHERE relkind = 'r' GROUP BY 1 ORDER BY 1",
)
