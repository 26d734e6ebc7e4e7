"""Restores a backup into an empty database, completely or not at all. Knows no commands and no audit log."""

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
    """The restored database: the revision of its tables, and the number of rows of the main tables."""

    revision: str | None
    rows: dict[str, int]

    @property
    def needs_migration(self) -> bool:
        """Whether the revision of the tables differs from the one that this code expects."""
        return self.revision != migrations.head()


def check_file(file: Path) -> str:
    """Returns the checksum of the file. Raises `MaintenanceError` if it is not the recorded one."""
    try:
        expected = backup.checksum_file(file).read_text().partition(" ")[0]
        actual = backup.checksum(file)
    except OSError as error:
        raise MaintenanceError(f"The backup cannot be read ({error.strerror})", str(error.filename)) from error
    if actual != expected:
        raise MaintenanceError(
            "The backup is damaged: its checksum differs. Use an earlier backup, or another copy of this one."
        )
    return actual


def check_target(connection: Connection) -> int:
    """Returns the server's major version. Raises `MaintenanceError` if the database has tables."""
    if tables := connection.scalars(_TABLES).all():
        raise MaintenanceError(
            f"The database is not empty (it has {', '.join(tables[:3])}{', …' if tables[3:] else ''}): "
            "create a new one with CREATE DATABASE, and restore into that."
        )
    return client_programs.server_version(connection)


def ensure_roles(connection: Connection) -> None:
    """Creates the roles that the backup refers to. Raises `MaintenanceError` if this role lacks a privilege."""
    try:
        tenancy.ensure_reader(connection)
    except DatabaseError as error:
        raise MaintenanceError(_first_line(error)) from error


def fill(database_url: str, source: Path | Iterable[bytes], server: int) -> None:
    """Restores a file, or the content of a pipe, into an empty database on a server of this major version.

    Raises `MaintenanceError`. The database is then still empty.
    """
    # One transaction, not parallel jobs, which would be faster on several cores: a failure then leaves no partial
    # database that could pass for a complete one. The restoring role becomes the owner.
    options = ("--exit-on-error", "--single-transaction", "--no-owner")
    if isinstance(source, Path):
        client_programs.run("pg_restore", *options, source, server=server, database_url=database_url)
    else:
        client_programs.run("pg_restore", *options, server=server, database_url=database_url, content=source)


def settle(connection: Connection) -> Restored:
    """Prepares the restored database for use: planner statistics, which no backup contains, and partitions."""
    connection.execute(_ANALYSE)
    partitions.ensure(connection, clock.now())
    rows = {table: connection.execute(_count(table)).scalar_one() for table in _COUNTED}
    return Restored(migrations.current(connection), rows)


def _first_line(error: DatabaseError) -> str:
    """Returns the server's message. It is about our own statement, so it repeats no data."""
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
