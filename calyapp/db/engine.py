"""Connections to PostgreSQL, and what becomes of the driver's errors. The one place that knows the driver.

A process has two pools out of one allowance: `ingest` for deliveries, in autocommit and with time-outs that lie under
the caller's patience, and `records` for everything else. So a slow report can never hold the last connection that a
telephone call needs. A breaker keeps a dead or slow server from holding the threads that deliver.
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
# With the grace a second and a half together: a caller hears silence meanwhile, and what is given up here goes to the
# spool.
INGEST_WAIT_MS = 500
INGEST_STATEMENT_MS = 750
# How much later than the server's own time-out ours comes: where both can, the server's is the one that says more.
_GRACE_MS = 250
_FAILURES = 3
_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Pool:
    """An engine with its limits; hands out connections and turns the driver's errors into ours.

    All pools of a process heed its breaker; `tells_breaker` is the one whose time-outs are short enough to judge by.
    """

    engine: Engine
    limits: Limits
    breaker: Breaker
    tells_breaker: bool

    @property
    def is_away(self) -> bool:
        """Whether the database is given up for now."""
        return self.breaker.is_open

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for the length of the block.

        Raises `DatabaseAway` when none can be had in time, and at once while the breaker is open.
        """
        if self.breaker.is_open or (attempt := self.breaker.may_try()) is None:
            raise DatabaseAway
        with self._counted(attempt), self._connect() as connection:
            yield connection

    def try_again(self, check: Callable[[Connection], object]) -> None:
        """If the breaker is open and its pause is over, run `check`, and close the breaker unless it raises.

        Everything that `check` writes is rolled back. No delivery waits while it runs.
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
            # A connection that broke says only that the server was started anew since.
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
        """As `connection`, in a transaction that commits at the end of the block unless it raised."""
        with self.connection() as connection, _without_autocommit(connection), connection.begin():
            yield connection

    def statistics(self) -> Statistics:
        """What the pool holds at this moment, in this process."""
        return pooling.statistics(self.engine, self.limits)


@dataclass(frozen=True, slots=True)
class Database:
    """The two pools of a process; `identity` hands out the connections of `ingest` and does not tell the breaker.

    Strangers who only claim to be somebody may not hold a thread longer than a delivery does.
    """

    ingest: Pool
    records: Pool
    identity: Pool

    def announce(self) -> None:
        """Tell the metrics how many connections this process may open."""
        for pool in (self.ingest, self.records):
            metrics.DB_CONNECTIONS_LIMIT.labels(pool.limits.pool).set(pool.limits.most)

    def close(self) -> None:
        """Close every idle connection; those in use are closed when they are given back."""
        self.ingest.engine.dispose()
        self.records.engine.dispose()


def database(settings: Settings, on_change: Callable[[bool], None] = lambda _is_away: None) -> Database:
    """The pools that the settings ask for. Opens no connection.

    `on_change` hears when this process gives the database up for deliveries (True), and when it is back.
    """
    breaker = Breaker(failures=_FAILURES, pause=_PAUSE_SECONDS, max_pause=_MAX_PAUSE_SECONDS, on_change=on_change)
    for_records = max(1, settings.db_pool_max // 4)
    for_ingest = settings.db_pool_max - for_records
    ingest = _pool(
        settings,
        "ingest",
        keep=max(1, min(settings.db_pool_min - 1, for_ingest)),
        most=for_ingest,
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
            keep=1,
            most=for_records,
            wait_ms=settings.db_connection_timeout_ms,
            connect_ms=settings.db_connection_timeout_ms,
            statement_ms=settings.db_statement_timeout_ms,
            isolation_level="READ COMMITTED",
            breaker=breaker,
            tells_breaker=False,
        ),
    )


def url(settings: Settings) -> str:
    """Where the database is: what DATABASE_URL says, else the embedded server of `make run`."""
    return settings.database_url.reveal() if settings.database_url else server.url(EMBEDDED_DATA)


def _pool(
    settings: Settings,
    name: str,
    *,
    keep: int,
    most: int,
    wait_ms: int,
    connect_ms: int,
    statement_ms: int,
    isolation_level: Any,
    breaker: Breaker,
    tells_breaker: bool,
) -> Pool:
    limits = Limits(name, keep, most, settings.db_idle_timeout_ms, settings.db_max_uses, wait_ms)
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
    """Told to the driver itself, which keeps it to itself; an option of the engine would ask the server each time."""
    driver: Any = connection.connection.dbapi_connection
    before, driver.autocommit = driver.autocommit, False
    try:
        yield
    finally:
        if not driver.closed:
            driver.autocommit = before


def _connect_arguments(connect_ms: int, statement_ms: int) -> dict[str, Any]:
    return {
        # To open one takes the server a moment, however little its caller would wait for a free one.
        "connection_factory": deadline.connection_class(max(1_000, connect_ms), statement_ms + _GRACE_MS),
        "application_name": "caly",
        "options": f"-c statement_timeout={statement_ms} -c lock_timeout={statement_ms} -c timezone=UTC "
        "-c idle_in_transaction_session_timeout=60000",
    }


_AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.ReadOnlySqlTransaction)
# Of SQLSTATE: values that cannot be taken, constraints, limits of size. Anything else is the server's state.
_OF_CONTENT = ("22", "23", "54")


def _translate(failure: Any) -> Exception | None:
    """The driver's error in our words; the original stays its cause, for the log."""
    error = failure.original_exception
    if not isinstance(error, Exception):
        return None  # Ctrl-C during a statement still means the end, and is raised as it is
    if isinstance(error, psycopg2.Error) and _is_of_content(error):
        return DatabaseRejected(f"SQLSTATE {error.pgcode}")
    if isinstance(error, _AWAY):
        # What closes a fresh connection, a proxy or a pooler say, has no server behind it: another would not do.
        was_used = failure.connection is not None and pooling.was_used(failure.connection)
        broke = was_used and failure.is_disconnect and not isinstance(error, deadline.DeadlinePassed)
        return DatabaseAway(connection_lost=broke)
    return DatabaseError()


def _is_of_content(error: psycopg2.Error) -> bool:
    # A month without its partition is a check violation too, but of no constraint that has a name.
    lacks_partition = isinstance(error, psycopg2.errors.CheckViolation) and not error.diag.constraint_name
    return (error.pgcode or "").startswith(_OF_CONTENT) and not lacks_partition
