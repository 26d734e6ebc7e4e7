"""How long the server's process behind a pool's connection was on a processor: other programs do not change that."""

from pathlib import Path

from sqlalchemy import text

from calyapp.db.engine import Pool


def busy(pool: Pool) -> float:
    """Returns the processor seconds since the connection was opened. Assumes that no other connection is in use."""
    with pool.connection() as connection:
        process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9
