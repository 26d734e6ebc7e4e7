"""How many connections the server allows, against how many this service may open."""

from typing import NamedTuple

from calyapp.config import Settings
from calyapp.db import engine, inspection

SPARE = 5
"""Connections for what is not a worker: the command line, a migration, a backup, whoever looks into the database."""


class ConnectionShortage(NamedTuple):
    """Too few connections, in a sentence, and what to do about it, in another."""

    found: str
    remedy: str


def shortage(connections: int, workers: int, pool_max: int) -> ConnectionShortage | None:
    """None if the server has enough for so many workers, all of them at their most."""
    wanted, allowed = workers * pool_max, connections - SPARE
    if wanted <= allowed:
        return None
    return ConnectionShortage(
        f"{workers} workers with DB_POOL_MAX={pool_max} may open {wanted} connections, "
        f"and the server has {allowed} for them",
        f"Set DB_POOL_MAX to {max(2, allowed // workers)} at most, "
        "or raise max_connections (and the limits of role and database).",
    )


def shortage_at_start(settings: Settings, workers: int) -> ConnectionShortage | None:
    """As `shortage`, by what the server says of itself. Raises `DatabaseError` if it cannot be asked.

    Leaves no connection open, so that it may be asked before a fork.
    """
    database = engine.database(settings)
    try:
        with database.ingest.connection() as connection:
            return shortage(inspection.inspect(connection).connections, workers, settings.db_pool_max)
    finally:
        database.close()
