"""How migrations run: one at a time, and never in the way of the service that goes on beside them."""

import os
import time
from typing import Any

import sqlalchemy
from alembic import context
from alembic.operations import MigrationScript

from calyapp import clock
from calyapp.config import Settings
from calyapp.db import partitions
from calyapp.db.engine import url
from calyapp.db.tables import metadata

# One migration at a time over all machines. Waiting for a lock also makes everybody who comes later wait, so a
# migration that cannot have its lock in five seconds gives up and is tried again at a better moment.
ADVISORY_LOCK = 0x63616C79_0000
SECONDS_BETWEEN_ATTEMPTS = 0.2
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "15min"


def number_the_revision(_context: object, _revision: object, directives: list[MigrationScript]) -> None:
    """0001, 0002, …: two migrations written at the same time collide in version control, not in production."""
    head = context.script.get_current_head()
    directives[0].rev_id = f"{int(head or 0) + 1:04d}"


def is_ours(name: str | None, type_: str, _parents: object) -> bool:
    """Partitions come and go with the calendar; they are not part of the models."""
    return type_ != "table" or name in metadata.tables


OPTIONS: dict[str, Any] = {
    "target_metadata": metadata,
    "transaction_per_migration": True,
    "include_name": is_ours,
    "process_revision_directives": number_the_revision,
}


def wait_for_turn(connection: sqlalchemy.Connection) -> None:
    """Take the lock once it is free.

    Asked for again and again: a statement that waited for it would hold a snapshot, and CREATE INDEX CONCURRENTLY in
    the migration that has the lock waits for the end of all snapshots.
    """
    attempt = sqlalchemy.text("SELECT pg_try_advisory_lock(:key)")
    while not connection.scalar(attempt, {"key": ADVISORY_LOCK}):
        connection.commit()
        time.sleep(SECONDS_BETWEEN_ATTEMPTS)


def run() -> None:
    """Migrate the database, one migration at a time."""
    engine = sqlalchemy.create_engine(url(Settings.from_env(os.environ)), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        wait_for_turn(connection)
        connection.execute(sqlalchemy.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(sqlalchemy.text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.commit()
        context.configure(connection=connection, **OPTIONS)
        with context.begin_transaction():
            context.run_migrations()
        if sqlalchemy.inspect(connection).has_table("audit_logs"):
            partitions.ensure(connection, clock.now())
        connection.commit()


def show() -> None:
    """Print the SQL (`--sql`), for the lint."""
    context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


show() if context.is_offline_mode() else run()
