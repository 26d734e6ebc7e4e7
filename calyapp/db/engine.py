"""Connections to PostgreSQL, and the translation of the driver's errors.

A process has two pools that share DB_POOL_MAX: `ingest` for deliveries, in autocommit and with time-outs shorter than a
caller's patience, and `records` for everything else. So a slow report cannot hold the last connection that a call
needs. A breaker keeps an unavailable or slow server from holding the threads that record deliveries.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import sqlalchemy
from sqlalchemy import Connection, Engine, event

from calyapp import metrics
from calyapp.breaker import Breaker
from calyapp.config import Settings
from calyapp.db import deadline, pooling, queries
from calyapp.db.pooling import Limits, Statistics
from calyapp.embedded import server
from calyapp.errors import DatabaseAway, DatabaseError, DatabaseRejected

EMBEDDED_DATA = Path("var/postgres")
# With the grace they add up to 1.5 s, during which the caller hears silence. A delivery that times out is spooled.
INGEST_WAIT_MS = 500
INGEST_STATEMENT_MS = 750
# How much later our own deadline is than the server's time-out. The server's error is more precise, so it comes first.
_GRACE_MS = 250
_FAILURES = 3
_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Pool:
    """An engine with its limits. Hands out connections and translates the driver's errors.

    All pools of a process obey its breaker. Only a pool with `tells_breaker` reports to it: its time-outs are short.
    """

    engine: Engine
    limits: Limits
    breaker: Breaker
    tells_breaker: bool

    @property
    def is_away(self) -> bool:
        """Whether the breaker is open."""
        return self.breaker.is_open

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Yields a connection for the block.

        Raises `DatabaseAway` if none is available in time, and at once while the breaker is open.
        """
        if self.breaker.is_open or (attempt := self.breaker.may_try()) is None:
            raise DatabaseAway
        with self._counted(attempt), self._connect() as connection:
            yield connection

    def try_again(self, check: Callable[[Connection], object]) -> None:
        """Runs `check` if the breaker is open and its pause is over, and closes the breaker unless `check` raises.

        All writes of `check` are rolled back. No delivery waits while it runs.
        """
        if self.breaker.is_open and (attempt := self.breaker.may_try()) is not None:
            try:
                with self._connect() as connection, _without_autocommit(connection), connection.begin() as transaction:
                    check(connection)
                    transaction.rollback()
            except DatabaseError:
                self.breaker.failed(attempt)
            else:
                self.breaker.succeeded(attempt)

    @contextmanager
    def _counted(self, attempt: int) -> Iterator[None]:
        try:
            yield
        except DatabaseAway as away:
            # A broken connection only means that the server was restarted since it was opened.
            if self.tells_breaker and not away.connection_lost:
                self.breaker.failed(attempt)
            raise
        if self.tells_breaker:
            self.breaker.succeeded(attempt)

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        try:
            with metrics.DB_CONNECTION_WAIT_SECONDS.labels(self.limits.pool).time():
                connection = self.engine.connect()
        except sqlalchemy.exc.TimeoutError as error:
            raise DatabaseAway("All database connections are busy") from error
        with connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yields a connection in a transaction, which commits at the end of the block unless the block raises."""
        with self.connection() as connection, _without_autocommit(connection), connection.begin():
            yield connection

    def statistics(self) -> Statistics:
        """Returns the current state of the pool in this process."""
        return pooling.statistics(self.engine, self.limits)


@dataclass(frozen=True, slots=True)
class Database:
    """The pools of a process. `identity` uses the connections of `ingest` and does not report to the breaker.

    A sender that is not authenticated must not hold a thread longer than a delivery does.
    """

    ingest: Pool
    records: Pool
    identity: Pool

    def announce(self) -> None:
        """Sets the metrics of the maximum number of connections."""
        for pool in (self.ingest, self.records):
            metrics.DB_CONNECTIONS_LIMIT.labels(pool.limits.pool).set(pool.limits.max_connections)

    def close(self) -> None:
        """Closes all idle connections. Those in use are closed when they are returned."""
        self.ingest.engine.dispose()
        self.records.engine.dispose()


def database(settings: Settings, on_change: Callable[[bool], None] = lambda _is_away: None) -> Database:
    """Returns the pools for the settings. Opens no connection.

    `on_change` is called with True when the breaker opens, and with False when it closes.
    """
    breaker = Breaker(failures=_FAILURES, pause=_PAUSE_SECONDS, max_pause=_MAX_PAUSE_SECONDS, on_change=on_change)
    for_records = max(1, settings.db_pool_max // 4)
    for_ingest = settings.db_pool_max - for_records
    ingest = _pool(
        settings,
        "ingest",
        min_connections=max(1, min(settings.db_pool_min - 1, for_ingest)),
        max_connections=for_ingest,
        wait_ms=min(INGEST_WAIT_MS, settings.db_connection_timeout_ms),
        connect_ms=INGEST_STATEMENT_MS,
        statement_ms=min(INGEST_STATEMENT_MS, settings.db_statement_timeout_ms),
        isolation_level="AUTOCOMMIT",
        breaker=breaker,
        tells_breaker=True,
    )
    return Database(
        ingest=ingest,
        identity=Pool(ingest.engine, ingest.limits, breaker, tells_breaker=False),
        records=_pool(
            settings,
            "records",
            min_connections=1,
            max_connections=for_records,
            wait_ms=settings.db_connection_timeout_ms,
            connect_ms=settings.db_connection_timeout_ms,
            statement_ms=settings.db_statement_timeout_ms,
            isolation_level="READ COMMITTED",
            breaker=breaker,
            tells_breaker=False,
        ),
    )


def url(settings: Settings) -> str:
    """Returns the database URL: DATABASE_URL, or else that of the embedded server of `make run`."""
    return settings.database_url.reveal() if settings.database_url else server.url(EMBEDDED_DATA)


def _pool(
    settings: Settings,
    name: str,
    *,
    min_connections: int,
    max_connections: int,
    wait_ms: int,
    connect_ms: int,
    statement_ms: int,
    isolation_level: Any,
    breaker: Breaker,
    tells_breaker: bool,
) -> Pool:
    limits = Limits(name, min_connections, max_connections, settings.db_idle_timeout_ms, settings.db_max_uses, wait_ms)
    engine = sqlalchemy.create_engine(
        url(settings),
        isolation_level=isolation_level,
        connect_args=_connect_arguments(connect_ms, statement_ms),
        **limits.pool_arguments(),
    )
    pooling.enforce(engine, limits)
    queries.observe(engine)
    event.listen(engine, "handle_error", _translate)
    return Pool(engine, limits, breaker, tells_breaker)


@contextmanager
def _without_autocommit(connection: Connection) -> Iterator[None]:
    """Turns autocommit off in the driver, which costs nothing. An option of the engine would need a round trip."""
    driver: Any = connection.connection.dbapi_connection
    before, driver.autocommit = driver.autocommit, False
    try:
        yield
    finally:
        if not driver.closed:
            driver.autocommit = before


def _connect_arguments(connect_ms: int, statement_ms: int) -> dict[str, Any]:
    return {
        # Opening a connection takes longer than waiting for a free one, so it gets at least one second.
        "connection_factory": deadline.connection_class(max(1_000, connect_ms), statement_ms + _GRACE_MS),
        "application_name": "caly",
        "options": f"-c statement_timeout={statement_ms} -c lock_timeout={statement_ms} -c timezone=UTC "
        "-c idle_in_transaction_session_timeout=60000",
    }


_AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.ReadOnlySqlTransaction)
# Classes of SQLSTATE about the data: invalid values, constraints, limits of size. All others are about the server.
_OF_CONTENT = ("22", "23", "54")


def _translate(failure: Any) -> Exception | None:
    """Returns our error for the driver's error, which stays its cause for the log."""
    error = failure.original_exception
    if not isinstance(error, Exception):
        return None  # Ctrl-C during a statement is raised unchanged
    if isinstance(error, psycopg2.Error) and _is_of_content(error):
        return DatabaseRejected(f"SQLSTATE {error.pgcode}")
    if isinstance(error, _AWAY):
        # A new connection that is closed at once, by a proxy or a pooler, has no server. A second attempt fails too.
        was_used = failure.connection is not None and pooling.was_used(failure.connection)
        broke = was_used and failure.is_disconnect and not isinstance(error, deadline.DeadlinePassed)
        return DatabaseAway(connection_lost=broke)
    return DatabaseError()


def _is_of_content(error: psycopg2.Error) -> bool:
    # A month without its partition is a check violation too, but of no constraint that has a name.
    lacks_partition = isinstance(error, psycopg2.errors.CheckViolation) and not error.diag.constraint_name
    return (error.pgcode or "").startswith(_OF_CONTENT) and not lacks_partition
