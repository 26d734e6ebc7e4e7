"""The connection pool: limits, the lifetime of connections, and statistics.

SQLAlchemy's queue pool keeps the limits. This module adds what it lacks: at checkout it replaces a connection that was
idle too long (a firewall may have dropped it) or was used very often (the server's memory for it grows with use).
"""

import os
import time
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakSet

from sqlalchemy import Connection, Engine, QueuePool, event
from sqlalchemy.exc import DisconnectionError

from calyapp import metrics

_engines: WeakSet[Engine] = WeakSet()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a pool: its name, connections kept open and maximum, their lifetime, and the wait for one."""

    pool: str
    min_connections: int
    max_connections: int
    idle_timeout_ms: int
    max_uses: int
    wait_ms: int

    def pool_arguments(self) -> dict[str, Any]:
        """Returns arguments for `sqlalchemy.create_engine`. Last in, first out, so that unused connections grow old."""
        return {
            "poolclass": QueuePool,
            "pool_size": self.min_connections,
            "max_overflow": self.max_connections - self.min_connections,
            "pool_timeout": self.wait_ms / 1000,
            "pool_use_lifo": True,
        }


@dataclass(frozen=True, slots=True)
class Statistics:
    """The number of connections of a pool in this process."""

    max_connections: int
    open: int
    in_use: int


def statistics(engine: Engine, limits: Limits) -> Statistics:
    """Returns the current state of the pool."""
    pool = cast(QueuePool, engine.pool)
    return Statistics(limits.max_connections, pool.checkedin() + pool.checkedout(), pool.checkedout())


def was_used(connection: Connection) -> bool:
    """Returns whether this connection was checked out before."""
    return bool(connection.info.get("uses", 0) > 1)


def enforce(engine: Engine, limits: Limits) -> None:
    """Replaces idle and worn connections at checkout, counts connections, and drops them in a forked child."""

    @event.listens_for(engine, "checkout")
    def refuse_old(_dbapi_connection: object, record: Any, _proxy: object) -> None:
        used, idle_since = record.info.get("uses", 0), record.info.get("idle_since", time.monotonic())
        if used >= limits.max_uses or time.monotonic() - idle_since > limits.idle_timeout_ms / 1000:
            raise DisconnectionError("idle too long or used up")
        record.info["uses"] = used + 1
        metrics.DB_CONNECTIONS.labels(limits.pool, "in_use").inc()

    @event.listens_for(engine, "checkin")
    def note_idle(_dbapi_connection: object, record: Any) -> None:
        if "uses" not in record.info:
            return  # reconnecting failed, so it was never checked out
        record.info["idle_since"] = time.monotonic()
        metrics.DB_CONNECTIONS.labels(limits.pool, "in_use").dec()

    @event.listens_for(engine, "connect")
    def count_open(_dbapi_connection: object, _record: Any) -> None:
        metrics.DB_CONNECTIONS.labels(limits.pool, "open").inc()

    @event.listens_for(engine, "close")
    def count_closed(_dbapi_connection: object, _record: Any) -> None:
        metrics.DB_CONNECTIONS.labels(limits.pool, "open").dec()

    _engines.add(engine)


def _forget_parents_connections() -> None:
    # The sockets belong to the parent. Closing them here would end its sessions, and using them would mix the
    # messages of two processes on one connection.
    for engine in list(_engines):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_parents_connections)
