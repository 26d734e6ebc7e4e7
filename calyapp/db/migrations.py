"""Whether the database has the tables that this code expects. Making them is Alembic's, in `alembic/`."""

from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from calyapp.db.queries import named

_CURRENT = named("read_revision", "SELECT version_num FROM alembic_version")
_ROOT = Path(__file__).parents[2]


@cache
def head() -> str | None:
    """The newest revision among the migration scripts."""
    return ScriptDirectory.from_config(Config(_ROOT / "setup.cfg")).get_current_head()


def is_known(revision: str) -> bool:
    """Whether it is among the migration scripts; one of a newer release is not."""
    scripts = ScriptDirectory.from_config(Config(_ROOT / "setup.cfg")).walk_revisions()
    return revision in {script.revision for script in scripts}


def current(connection: Connection) -> str | None:
    """The revision that the database is at. Raises `DatabaseError` when it has never been migrated."""
    revision: str | None = connection.scalar(_CURRENT)
    return revision
