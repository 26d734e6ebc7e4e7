"""Compares the connections that the server allows with those that this service may open."""

from typing import NamedTuple

from calyapp.config import Settings
from calyapp.db import engine, inspection

SPARE = 5
"""Connections kept free for other programs: the command line, a migration, a backup, psql."""


class ConnectionShortage(NamedTuple):
    """The server allows too few connections: what is wrong, and what to do."""

    found: str
    remedy: str


def shortage(connections: int, workers: int, pool_max: int) -> ConnectionShortage | None:
    """Returns the shortage if so many workers together may open more connections than the server allows, else None."""
    required, allowed = workers * pool_max, connections - SPARE
    if required <= allowed:
        return None
    return ConnectionShortage(
        f"{workers} workers with DB_POOL_MAX={pool_max} may open {required} connections, "
        f"and the server has {allowed} for them",
        f"Set DB_POOL_MAX to {max(2, allowed // workers)} at most, "
        "or raise max_connections (and the limits of role and database).",
    )


def shortage_at_start(settings: Settings, workers: int) -> ConnectionShortage | None:
    """Asks the server for its limit and compares as `shortage` does. Raises `DatabaseError` if it does not answer.

    It leaves no connection open, so it can run before a fork.
    """
    database = engine.database(settings)
    try:
        with database.ingest.connection() as connection:
            return shortage(inspection.inspect(connection).connections, workers, settings.db_pool_max)
    finally:
        database.close()
