"""The connection pool: how many connections, how long they live, and what can be said of them.

SQLAlchemy's queue pool keeps the bounds; what it lacks is enforced where a connection is handed out: one that lay idle
too long (a firewall may have forgotten it) or was used very often (server-side memory grows with use) is replaced.
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
    """Of one pool: its name, connections kept and at most, their age in use, and how long a caller waits for one."""

    pool: str
    keep: int
    most: int
    idle_timeout_ms: int
    max_uses: int
    wait_ms: int

    def pool_arguments(self) -> dict[str, Any]:
        """As `sqlalchemy.create_engine` takes them. Last in, first out: the rest can grow old and be replaced."""
        return {
            "poolclass": QueuePool,
            "pool_size": self.keep,
            "max_overflow": self.most - self.keep,
            "pool_timeout": self.wait_ms / 1000,
            "pool_use_lifo": True,
        }


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one pool in this process, in connections."""

    most: int
    open: int
    in_use: int


def statistics(engine: Engine, limits: Limits) -> Statistics:
    """What the pool holds at this moment."""
    pool = cast(QueuePool, engine.pool)
    return Statistics(limits.most, pool.checkedin() + pool.checkedout(), pool.checkedout())


def was_used(connection: Connection) -> bool:
    """Whether somebody had this connection before whoever has it now."""
    return bool(connection.info.get("uses", 0) > 1)


def enforce(engine: Engine, limits: Limits) -> None:
    """Replace idle and worn connections at checkout, count them, and forget them in a forked child."""

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
            return  # it could not be connected again, so nobody ever had it
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
    # The sockets belong to the parent: closing them here would end its sessions, using them would mix two
    # conversations on one wire.
    for engine in list(_engines):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_parents_connections)
