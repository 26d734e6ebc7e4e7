"""How many connections the server allows, against how many this service may open."""

from typing import Any

import psycopg2

from calyapp.config import Settings
from calyapp.db import deadline, engine

# For what is not a worker: the command line, a migration, a backup, whoever looks into the database.
SPARE = 5
_PATIENCE_MS = 2_000


def shortage(settings: Settings, workers: int) -> str | None:
    """What to change, if so many workers may together open more connections than the server has for them.

    None if it has enough, or cannot be asked: calls are answered without it, too. Leaves no connection open, so that
    it may be asked before a fork.
    """
    try:
        wanted, allowed = workers * settings.db_pool_max, _allowed(settings)
    except psycopg2.Error:
        return None
    if wanted <= allowed:
        return None
    most = max(2, allowed // workers)
    return (
        f"{workers} workers with DB_POOL_MAX={settings.db_pool_max} may open {wanted} connections, and the server "
        f"has {allowed} for them. Set DB_POOL_MAX to {most} at most, or raise the server's max_connections."
    )


def _allowed(settings: Settings) -> int:
    factory: Any = deadline.connection_class(_PATIENCE_MS, _PATIENCE_MS)
    connection = psycopg2.connect(engine.driver_url(settings), connection_factory=factory)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_RESERVED)
            (allowed,) = cursor.fetchone() or (0,)
            return int(allowed) - SPARE
    finally:
        connection.close()


# The second of the reserves is new in PostgreSQL 16.
_RESERVED = """
SELECT sum(CASE name WHEN 'max_connections' THEN 1 ELSE -1 END * setting::integer) FROM pg_settings
WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
"""
