"""Runs the migrations: one at a time, and without blocking the running service."""

import os
import sys
from typing import Any

import sqlalchemy
from alembic import context
from alembic.operations import MigrationScript
from alembic.util import CommandError

from calyapp import clock
from calyapp.config import ConfigurationError, Settings
from calyapp.db import connection_errors, deadline, migrations, partitions
from calyapp.db.engine import url
from calyapp.db.migrations import LOCK_TIMEOUT, STATEMENT_TIMEOUT_MS, MigrationError
from calyapp.db.tables import metadata

GRACE_MS = 60_000  # the server's time-out comes first, because its error is more precise


def number_the_revision(_context: object, _revision: object, directives: list[MigrationScript]) -> None:
    """Numbers revisions 0001, 0002, …: two concurrent migrations conflict in version control, not in production."""
    head = context.script.get_current_head()
    directives[0].rev_id = f"{int(head or 0) + 1:04d}"


def is_ours(name: str | None, type_: str, _parents: object) -> bool:
    """Returns whether autogenerate compares the table. The models leave out partitions, which change every month."""
    return type_ != "table" or name in metadata.tables


OPTIONS: dict[str, Any] = {
    "target_metadata": metadata,
    "transaction_per_migration": True,
    "include_name": is_ours,
    "process_revision_directives": number_the_revision,
}


def run() -> None:
    """Migrates the database, one migration at a time, and reports what it did."""
    settings = Settings.from_env(os.environ)
    patience = deadline.connection_class(settings.db_connection_timeout_ms, STATEMENT_TIMEOUT_MS + GRACE_MS)
    connect_args = {"application_name": "caly migration", "connection_factory": patience}
    engine = sqlalchemy.create_engine(url(settings), poolclass=sqlalchemy.NullPool, connect_args=connect_args)
    with engine.connect() as connection:
        # Only one migration at a time, over all hosts.
        migrations.take_lock(connection, say, migrations.MAX_WAIT_SECONDS)
        migrations.check_ownership(connection)
        # While a migration waits for a table's lock, all later sessions wait behind it. So it gives up soon, and can be
        # run again later.
        connection.execute(sqlalchemy.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(sqlalchemy.text(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}"))
        connection.commit()
        migrate(connection)
        if sqlalchemy.inspect(connection).has_table("audit_logs"):
            partitions.ensure(connection, clock.now())
        connection.commit()


def migrate(connection: sqlalchemy.Connection) -> None:
    """Runs the migrations and prints which ones ran."""
    ran: list[Any] = []
    context.configure(connection=connection, on_version_apply=lambda step, **_: ran.append(step), **OPTIONS)
    before = revision()
    try:
        with context.begin_transaction():
            context.run_migrations()
    except sqlalchemy.exc.DBAPIError as error:
        at = ran[-1].destination_revision_ids[0] if ran and ran[-1].destination_revision_ids else before
        raise MigrationError(migrations.explain(error, at)) from None
    head = " (head)" if revision() == context.get_head_revision() else ""
    if ran:
        say(f"{before or 'empty'} → {revision() or 'empty'}{head}")
        for step in ran:
            say(f"  {step.up_revision_id}  {step.up_revision.doc}")
    elif has_destination():
        say(f"already at {revision() or 'no revision'}{head}")


def revision() -> str | None:
    """Returns the revision of the database."""
    current: str | None = context.get_context().get_current_revision()
    return current


def has_destination() -> bool:
    """Returns whether the command changes the revision, instead of only showing it."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def show() -> None:
    """Prints the SQL (`--sql`), for the linter."""
    context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def say(sentence: str) -> None:
    """Writes to stderr. Stdout holds only what commands such as `current` print for programs."""
    sys.stderr.write(sentence + "\n")


try:
    show() if context.is_offline_mode() else run()
except (CommandError, ConfigurationError, MigrationError) as failure:
    sys.exit(str(failure))
except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.ArgumentError) as failure:
    sys.exit(str(connection_errors.explain(failure)))
except KeyboardInterrupt:
    sys.exit(130)
