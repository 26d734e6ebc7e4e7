"""Backups: the whole database in one file in PostgreSQL's custom format, and a file with its checksum.

A file under its final name is complete, synced to disk and was read to its end. This module knows nothing of the
command line and the audit log.
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
# Longer than a migration holds its locks or waits for them, so pg_dump does not give up because of one.
_OPTIONS = ("--format=custom", "--lock-wait-timeout=60s")
# Without it, pg_dump refuses tables whose policies apply to its role.
_UNDER_POLICIES = ("--enable-row-security",)


@dataclass(frozen=True, slots=True)
class Contents:
    """What is to be backed up: the server's major version, the bytes of tables and indexes, and the approximate rows.

    The rows are the server's estimates, because counting takes as long as the dump. `has_policies` says that our
    policies apply to this role; they hide nothing from it.
    """

    version: int
    bytes: int
    rows: dict[str, int]
    has_policies: bool


@dataclass(frozen=True, slots=True)
class Backup:
    """A complete backup: its file, size in bytes, duration in seconds, and the older backups that were removed."""

    file: Path
    bytes: int
    seconds: float
    removed: list[str]


def survey(connection: Connection) -> Contents:
    """Examines the database before a backup. Raises `MaintenanceError` if policies may hide rows from this role."""
    if hiding := tenancy.hiding_tables(connection):
        raise MaintenanceError(
            f"Row-level security may hide rows of {', '.join(hiding)} from this role. "
            "Run the backup with a role that has BYPASSRLS."
        )
    return Contents(
        version=client_programs.server_version(connection),
        bytes=connection.execute(_SIZE).scalar_one(),
        rows={table.name: table.rows for table in connection.execute(_ROWS)},
        has_policies=tenancy.holds_for_us(connection),
    )


def make(database_url: str, folder: Path, contents: Contents, *, keep: int) -> Backup:
    """Adds a backup to `folder` and removes all but the newest `keep`. Raises `MaintenanceError`."""
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
    """Returns the path of a backup's checksum, which `sha256sum --check` can read."""
    return file.with_name(file.name + _CHECKSUM)


def checksum(file: Path) -> str:
    """Returns the SHA-256 of the file as hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with file_lock.exclusive(folder / "backup.lock"):
            yield
    except LockHeldError:
        raise MaintenanceError("Another backup into this folder is running") from None


def _remove_unfinished(folder: Path) -> None:
    """Removes what a killed backup left. No other process can be writing it, because this one holds the lock."""
    for file in folder.glob(f"{_FILES}{_PARTIAL}"):
        file.unlink()
    for file in folder.glob(f"{_FILES}{_CHECKSUM}"):
        if not file.with_name(file.name.removesuffix(_CHECKSUM)).exists():
            file.unlink()


def _check_space(folder: Path, contents: Contents) -> None:
    """Requires 1.5 times the size of the newest backup, or for the first backup the size of the database."""
    newest = _finished(folder)[-1:]
    needed = newest[0].stat().st_size * 3 // 2 if newest else contents.bytes
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MaintenanceError(
            f"There is too little disk space for a backup: {_megabytes(free)} MB are free, "
            f"{_megabytes(needed)} MB are needed."
        )


def _dump(database_url: str, file: Path, contents: Contents) -> None:
    options = _OPTIONS + _UNDER_POLICIES if contents.has_policies else _OPTIONS
    server = contents.version
    partial = file.with_name(file.name + _PARTIAL)
    try:
        partial.touch(
            mode=0o600, exist_ok=False
        )  # created first, because pg_dump would make it readable for other users
        # With --file, which pg_dump syncs, not through stdout: there version 18 writes the table of contents twice, and
        # a lost end would go unnoticed.
        client_programs.run("pg_dump", *options, f"--file={partial}", server=server, database_url=database_url)
        _verify(partial, server)
        _write_checksum(file, checksum(partial))
        partial.rename(file)
        _sync_folder(file.parent)
    finally:
        partial.unlink(missing_ok=True)


def _verify(file: Path, server: int) -> None:
    # Reads the file to its end. `--list` reads only the table of contents at the beginning, which a cut file has too.
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
    """Returns the complete backups, oldest first: their names sort by time."""
    return sorted(folder.glob(_FILES))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _megabytes(count: int) -> int:
    return round(count / 1_000_000)


# Neither statement waits for a lock, even during a migration.
_SIZE = named("measure_database", "SELECT pg_database_size(current_database())")
_ROWS = named(
    "estimate_rows",
    "SELECT coalesce(pg_partition_root(relid), relid)::regclass::text AS name, sum(n_live_tup)::bigint AS rows "
    "FROM pg_stat_user_tables JOIN pg_class ON pg_class.oid = relid WHERE relkind = 'r' GROUP BY 1 ORDER BY 1",
)
