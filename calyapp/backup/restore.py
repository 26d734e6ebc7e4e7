"""A backup's way back: into an empty database, all or nothing. Knows nothing of commands and the trail."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, TextClause

from calyapp import clock
from calyapp.backup import backup, client_programs
from calyapp.backup.client_programs import MaintenanceError
from calyapp.db import migrations, partitions, tenancy
from calyapp.db.queries import named
from calyapp.errors import DatabaseError

_COUNTED = ("clients", "calls", "deliveries", "audit_logs")


@dataclass(frozen=True, slots=True)
class Restored:
    """What the database holds now: the revision of its tables and how many rows of what matters."""

    revision: str | None
    rows: dict[str, int]

    @property
    def needs_migration(self) -> bool:
        """Whether the tables are not those that this code expects."""
        return self.revision != migrations.head()


def check_file(file: Path) -> str:
    """Its checksum, if it is the one that stands beside it; else raises `MaintenanceError`."""
    try:
        expected = backup.checksum_file(file).read_text().partition(" ")[0]
        found = backup.checksum(file)
    except OSError as error:
        raise MaintenanceError(f"The backup cannot be read ({error.strerror})", str(error.filename)) from error
    if found != expected:
        raise MaintenanceError(
            "The backup is damaged, its checksum is another: take an earlier one, or another copy of it."
        )
    return found


def check_target(connection: Connection) -> int:
    """The server's major version, if there is no table; else raises `MaintenanceError`."""
    if tables := connection.scalars(_TABLES).all():
        raise MaintenanceError(
            f"The database is not empty (it has {', '.join(tables[:3])}{', …' if tables[3:] else ''}): "
            "make a new one with CREATE DATABASE, and restore into that."
        )
    return client_programs.server_version(connection)


def ensure_roles(connection: Connection) -> None:
    """Make what the backup's grants and policies name. Raises `MaintenanceError` where this role may not."""
    try:
        tenancy.ensure_reader(connection)
    except DatabaseError as error:
        raise MaintenanceError(_first_line(error)) from error


def fill(database_url: str, source: Path | Iterable[bytes], server: int) -> None:
    """Restore a file, or what comes out of a pipe, into an empty database on a server of this major version.

    Raises `MaintenanceError`; the database is as empty then as it was.
    """
    # In one transaction, not in parallel jobs, which would be faster with several processors: what fails half-way
    # then leaves nothing that might pass for the whole. The owner is whoever restores.
    options = ("--exit-on-error", "--single-transaction", "--no-owner")
    if isinstance(source, Path):
        client_programs.run("pg_restore", *options, source, server=server, database_url=database_url)
    else:
        client_programs.run("pg_restore", *options, server=server, database_url=database_url, content=source)


def settle(connection: Connection) -> Restored:
    """Make the restored database fit for use: the planner's statistics, which no backup holds, and today's months."""
    connection.execute(_ANALYSE)
    partitions.ensure(connection, clock.now())
    rows = {table: connection.execute(_count(table)).scalar_one() for table in _COUNTED}
    return Restored(migrations.current(connection), rows)


def _first_line(error: DatabaseError) -> str:
    """What the server said; of our own statement, which repeats nothing."""
    return str(error.__cause__).partition("\n")[0]


def _count(table: str) -> TextClause:
    return named("count_restored", f"SELECT count(*) FROM {table}")  # noqa: S608 — constants


_ANALYSE = named("analyse", "ANALYZE")
_TABLES = named(
    "list_tables",
    "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') "
    "AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_' OR nspname = 'information_schema') "
    "ORDER BY 1",
)
