"""The revision of the database, and the checks before a migration. The migrations themselves are in `alembic/`."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psycopg2
import psycopg2.errors
import sqlalchemy
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from calyapp import clock
from calyapp.db.queries import named
from calyapp.db.tables import metadata

ADVISORY_LOCK = 0x63616C79_0000
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT_MS = 900_000
MAX_WAIT_SECONDS = 60.0
_SECONDS_BETWEEN_ATTEMPTS = 0.2
_ROOT = Path(__file__).parents[2]


class MigrationError(Exception):
    """A migration did not start or failed. The message tells the operator why, and what to do."""


@cache
def head() -> str | None:
    """Returns the newest revision of the migration scripts."""
    return ScriptDirectory.from_config(Config(_ROOT / "setup.cfg")).get_current_head()


def is_known(revision: str) -> bool:
    """Returns whether the revision is among the migration scripts. One of a newer release is not."""
    scripts = ScriptDirectory.from_config(Config(_ROOT / "setup.cfg")).walk_revisions()
    return revision in {script.revision for script in scripts}


def current(connection: Connection) -> str | None:
    """Returns the revision of the database. Raises `DatabaseError` if it was never migrated."""
    revision: str | None = connection.scalar(_CURRENT)
    return revision


def take_lock(connection: Connection, report: Callable[[str], None], max_wait_seconds: float) -> None:
    """Takes the lock that excludes other migrations until the connection closes.

    If another session holds it, `report` gets a message once. Raises `MigrationError` after `max_wait_seconds`.
    """
    deadline = time.monotonic() + max_wait_seconds
    reported = False
    # A statement that waits for the lock would hold a snapshot, and CREATE INDEX CONCURRENTLY in the migration that
    # holds the lock waits for the end of all snapshots. So this polls, outside of a transaction.
    while not connection.scalar(_TRY_LOCK, {"key": ADVISORY_LOCK}):
        holder = connection.execute(_HOLDER, {"key": ADVISORY_LOCK}).mappings().first()
        connection.commit()
        if time.monotonic() >= deadline:
            gave_up = f"Gave up after {max_wait_seconds:g} seconds; nothing was changed."
            if holder is None:
                raise MigrationError(
                    "The migration lock is taken, but PostgreSQL shows no session that holds it, as with a prepared "
                    f"transaction. {gave_up} Look into pg_locks and pg_prepared_xacts, and try again."
                )
            raise MigrationError(
                f"{_described(holder)} {gave_up} Let that session finish, or end it with "
                f"SELECT pg_terminate_backend({holder['pid']}), and try again."
            )
        if holder and not reported:
            report(f"{_described(holder)} Waiting up to {max_wait_seconds:g} seconds.")
            reported = True
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)


def check_ownership(connection: Connection) -> None:
    """Raises `MigrationError` if the database belongs to another application, or to a newer release."""
    tables = set(connection.scalars(_TABLES))
    revision = current(connection) if "alembic_version" in tables else None
    if revision and not is_known(revision):
        raise MigrationError(
            f"The database is at revision {revision}, which this release does not know: a newer release or another "
            "application migrated it. Run that release, or set DATABASE_URL to another database."
        )
    if tables and not tables & {"alembic_version", *metadata.tables}:
        raise MigrationError(
            f"The database holds tables of another application ({', '.join(sorted(tables)[:3])}): "
            "create a database for Caly alone, and set DATABASE_URL to it."
        )


def explain(error: sqlalchemy.exc.DBAPIError, revision: str | None) -> str:
    """Explains why a migration failed at `revision`, without the statement and its values."""
    stays = f"The database stays at {revision or 'no revision'}."
    cause = error.orig
    if isinstance(cause, psycopg2.errors.LockNotAvailable):
        return (
            f"Another session uses a table that the migration changes; gave up after {LOCK_TIMEOUT}. {stays} "
            "Try again when long transactions, backups and reports have ended."
        )
    if isinstance(cause, psycopg2.errors.QueryCanceled):
        seconds = STATEMENT_TIMEOUT_MS // 1000
        return f"The migration was cancelled, or a statement took longer than {seconds} seconds. {stays} Try again."
    if isinstance(cause, psycopg2.Error) and cause.diag.message_primary:
        return (
            f"The migration failed: {cause.diag.message_primary} (SQLSTATE {cause.pgcode}). {stays} "
            "Remove the cause and try again."
        )
    return f"The connection to the database broke during the migration. {stays} Try again."


def _described(holder: sqlalchemy.RowMapping) -> str:
    # PostgreSQL shows a session's address and times only to its own user and to members of pg_read_all_stats.
    since = holder["backend_start"]
    seen = f"{holder['address']}, connected since {clock.iso(since)}" if since else "address and start hidden from us"
    return (
        f"Another session holds the migration lock: process {holder['pid']}, application "
        f'"{holder["application_name"]}", user {holder["usename"]}, {seen}.'
    )


_CURRENT = named("read_revision", "SELECT version_num FROM alembic_version")
_TRY_LOCK = named("try_migration_lock", "SELECT pg_try_advisory_lock(:key)")
_HOLDER = named(
    "find_migration_lock_holder",
    """
SELECT pid, application_name, usename, backend_start,
       coalesce('address ' || host(client_addr), 'on a local socket') AS address
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = :key
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""",
)
_TABLES = named(
    "list_own_tables",
    """
SELECT relname FROM pg_class
WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace AND NOT EXISTS (
  SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
""",
)
