"""Connections to PostgreSQL, and what becomes of the driver's errors. The one place that knows the driver.

A process has two pools out of one allowance: `ingest` for deliveries, in autocommit and with time-outs that lie under
the caller's patience, and `records` for everything else. So a slow report can never hold the last connection that a
telephone call needs.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import sqlalchemy
from sqlalchemy import Connection, Engine, event

from calyapp.config import Settings
from calyapp.db import embedded, pooling, queries
from calyapp.db.pooling import Limits, Statistics
from calyapp.errors import DatabaseAway, DatabaseError

EMBEDDED_DATA = Path("var/postgres")
# Five seconds together: Exotel waits no longer in a flow. Not less, for a delivery given up here is refused.
INGEST_WAIT_MS = 1_000
INGEST_STATEMENT_MS = 4_000


@dataclass(frozen=True, slots=True)
class Pool:
    """An engine with its limits; hands out connections and turns the driver's errors into ours."""

    engine: Engine
    limits: Limits

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for the length of the block. Raises `DatabaseAway` when none can be had in time."""
        try:
            connection = self.engine.connect()
        except sqlalchemy.exc.TimeoutError as error:
            raise DatabaseAway("All database connections are busy") from error
        with connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As `connection`, in a transaction that commits at the end of the block unless it raised."""
        with self.connection() as connection, connection.begin():
            yield connection

    def statistics(self) -> Statistics:
        """What the pool holds at this moment, in this process."""
        return pooling.statistics(self.engine, self.limits)


@dataclass(frozen=True, slots=True)
class Database:
    """The two pools of a process."""

    ingest: Pool
    records: Pool

    def close(self) -> None:
        """Close every idle connection; those in use are closed when they are given back."""
        self.ingest.engine.dispose()
        self.records.engine.dispose()


def database(settings: Settings) -> Database:
    """The pools that the settings ask for. Opens no connection."""
    for_records = max(1, settings.db_pool_max // 4)
    for_ingest = settings.db_pool_max - for_records
    return Database(
        ingest=_pool(
            settings,
            keep=max(1, min(settings.db_pool_min - 1, for_ingest)),
            most=for_ingest,
            wait_ms=min(INGEST_WAIT_MS, settings.db_connection_timeout_ms),
            connect_ms=min(INGEST_STATEMENT_MS, settings.db_connection_timeout_ms),
            statement_ms=min(INGEST_STATEMENT_MS, settings.db_statement_timeout_ms),
            isolation_level="AUTOCOMMIT",
        ),
        records=_pool(
            settings,
            keep=1,
            most=for_records,
            wait_ms=settings.db_connection_timeout_ms,
            connect_ms=settings.db_connection_timeout_ms,
            statement_ms=settings.db_statement_timeout_ms,
            isolation_level="READ COMMITTED",
        ),
    )


def url(settings: Settings) -> str:
    """Where the database is: what DATABASE_URL says, else the embedded server of `make run`."""
    return settings.database_url.reveal() if settings.database_url else embedded.url(EMBEDDED_DATA)


def _pool(
    settings: Settings, *, keep: int, most: int, wait_ms: int, connect_ms: int, statement_ms: int, isolation_level: Any
) -> Pool:
    limits = Limits(keep, most, settings.db_idle_timeout_ms, settings.db_max_uses, wait_ms)
    engine = sqlalchemy.create_engine(
        url(settings),
        isolation_level=isolation_level,
        connect_args=_connect_arguments(connect_ms, statement_ms),
        **limits.pool_arguments(),
    )
    pooling.enforce(engine, limits)
    queries.observe(engine)
    event.listen(engine, "handle_error", _translate)
    return Pool(engine, limits)


def _connect_arguments(connect_ms: int, statement_ms: int) -> dict[str, Any]:
    return {
        "connect_timeout": max(2, math.ceil(connect_ms / 1000)),  # libpq takes whole seconds, two at least
        # A peer that vanished without a word is noticed after this, not after the system's fifteen minutes.
        "tcp_user_timeout": statement_ms + 5_000,
        "application_name": "caly",
        "options": f"-c statement_timeout={statement_ms} -c lock_timeout={statement_ms} -c timezone=UTC "
        "-c idle_in_transaction_session_timeout=60000",
    }


_AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.ReadOnlySqlTransaction)


def _translate(failure: Any) -> Exception | None:
    """The driver's error in our words; the original stays its cause, for the log."""
    if not isinstance(failure.original_exception, Exception):
        return None  # Ctrl-C during a statement still means the end, and is raised as it is
    if isinstance(failure.original_exception, _AWAY):
        return DatabaseAway(connection_lost=failure.is_disconnect)
    return DatabaseError()
