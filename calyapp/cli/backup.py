"""`flask caly backup` and `flask caly restore`: the whole database into a file, and back. Both write audit entries."""

import hashlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import click

from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.backup import backup as backups
from calyapp.backup import restore as restores
from calyapp.backup.client_programs import MaintenanceError
from calyapp.cli.command import INTERRUPTED, as_json, explained, services
from calyapp.cli.output import print_record
from calyapp.cli.standard_input import SecretValue, read_file
from calyapp.db import engine, migrations
from calyapp.db.engine import Pool
from calyapp.errors import AppError, DatabaseError
from calyapp.setting_kinds import DATABASE_URL, Secret

_HOUR_MS = 3_600_000
_MIB = 1024 * 1024
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, readable=False, path_type=Path), metavar="DIR")
@click.option("--keep", type=click.IntRange(min=1), default=14, show_default=True, help="Number of backups to keep.")
@as_json
def backup(folder: Path, keep: int, as_json: bool) -> None:
    """Back up the whole database into a new file in DIR, with a checksum, and remove the oldest backups."""
    pool = services().database.records
    with _signals_as_errors():
        _audit(pool, EventType.BACKUP_STARTED, "Backup started", folder=str(folder))
        with _failure_audited(pool):
            with pool.connection() as connection:
                contents = backups.survey(connection)
            made = backups.make(engine.url(services().settings), folder, contents, keep=keep)
    summary = {"file": str(made.file), "bytes": made.bytes, "seconds": made.seconds, "removed": made.removed}
    _audit(pool, EventType.BACKUP_COMPLETED, "Backup completed", **summary, rowsAbout=contents.rows)
    print_record(summary, as_json)


@contextmanager
def _signals_as_errors() -> Iterator[None]:
    """Makes the first SIGTERM, SIGHUP or SIGINT raise `MaintenanceError`, so that the end of the backup is audited."""

    def stop(number: int, _frame: object) -> None:
        for one in _STOP_SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        exit_code = INTERRUPTED if number == signal.SIGINT else 1
        raise MaintenanceError(f"The backup was stopped ({signal.Signals(number).name})", exit_code=exit_code)

    before = {one: signal.signal(one, stop) for one in _STOP_SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def _failure_audited(pool: Pool) -> Iterator[None]:
    try:
        yield
    except BaseException as failure:
        with suppress(AppError):  # the database may be away for the same reason, which the command reports
            _audit(pool, EventType.BACKUP_FAILED, "Backup failed", "failure", reason=_reason(failure))
        raise


def _reason(failure: BaseException) -> str:
    """Returns why it failed, without details that only the operator may read."""
    if isinstance(failure, MaintenanceError):
        return failure.reason
    return failure.message if isinstance(failure, AppError) else type(failure).__name__


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True, allow_dash=True, path_type=Path))
@click.option(
    "--into",
    type=SecretValue("url", DATABASE_URL),
    help="The database to fill, if not DATABASE_URL; - reads the URL from standard input, @FILE from a file.",
)
@as_json
def restore(file: Path, into: Secret[str] | None, as_json: bool) -> None:
    """Restore a backup into an empty database, and print what the database holds then.

    FILE is checked against the checksum file beside it. With - the backup comes from standard input, without a
    checksum file; its checksum is printed instead.
    """
    piped = _Piped(read_file()) if file == Path("-") else None
    digest = "" if piped else restores.check_file(file)
    with _target(into) as (pool, url):
        with pool.connection() as connection:
            server = restores.check_target(connection)
        with pool.transaction() as connection:
            restores.ensure_roles(connection)
        restores.fill(url, piped.chunks() if piped else file, server)
        digest = piped.checksum() if piped else digest
        with pool.transaction() as connection:
            restored = restores.settle(connection)
        summary = {"file": file.name, "revision": restored.revision, **restored.rows}
        _audit(pool, EventType.DATABASE_RESTORED, "Database restored from a backup", sha256=digest, **summary)
    if piped:
        click.echo(f"SHA-256 of the backup: {digest}. Compare it with the .sha256 file of the backup.", err=True)
    print_record({**summary, "needsMigration": restored.needs_migration}, as_json)
    if restored.needs_migration:
        click.echo(
            f"This code expects revision {migrations.head()}: run `alembic -c setup.cfg upgrade head`.", err=True
        )


class _Piped:
    """A backup on standard input, which can be read once."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        self._digest = hashlib.sha256()

    def chunks(self) -> Iterator[bytes]:
        while chunk := self._content.read(_MIB):
            self._digest.update(chunk)
            yield chunk

    def checksum(self) -> str:
        """Returns the SHA-256 of the whole input. Reads what pg_restore left unread."""
        for _ in self.chunks():
            pass
        return self._digest.hexdigest()


@contextmanager
def _target(into: Secret[str] | None) -> Iterator[tuple[Pool, str]]:
    """Yields the database to fill and its URL. Its time-out allows for counting all rows."""
    settings = services().settings
    settings = replace(settings, database_url=into or settings.database_url, db_statement_timeout_ms=_HOUR_MS)
    database = engine.database(settings)
    try:
        yield database.records, engine.url(settings)
    except DatabaseError as error:
        raise explained(error, "--into" if into else "DATABASE_URL") from None
    finally:
        database.close()


def _audit(
    pool: Pool,
    event: EventType,
    description: str,
    status: Literal["success", "failure"] = "success",
    /,
    **metadata: Any,
) -> None:
    audit_log.write(pool, Entry.now(event, description, status=status, resource="database", metadata=metadata))
