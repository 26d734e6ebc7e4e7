"""Row-level security: reading as `caly_reader`, who sees the rows of one tenant, or none until told which.

So a condition that was forgotten in a statement is no breach. Whoever else is granted a table (ingest, maintenance, its
owner) sees all of it. Knows nothing of users and what they may.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text

from calyapp.db.engine import Pool
from calyapp.db.queries import named

READER = "caly_reader"
ALL: Literal["*"] = "*"
"""In a tenant's place: the rows of all clients, and those that belong to none."""

Tenant = UUID | Literal["*"]


@contextmanager
def reading(pool: Pool, tenant: Tenant) -> Iterator[Connection]:
    """A transaction that can only read, and only what is this tenant's."""
    with pool.transaction() as connection:
        connection.execute(_BEGIN, {"tenant": str(tenant)})
        yield connection


def ensure_reader(connection: Connection) -> None:
    """Make the role, which no backup holds, and let the current one act as it; does nothing where both are so.

    Raises `DatabaseError` where the current role may not; its cause names the privilege and what to run.
    """
    connection.execute(named("ensure_reader", _ENSURE_READER))


def hiding_tables(connection: Connection) -> list[str]:
    """The tables of which policies other than ours may hide rows from the current role."""
    return list(connection.scalars(_HIDING))


def holds_for_us(connection: Connection) -> bool:
    """Whether policies are applied to the current role at all; to a superuser none is."""
    return bool(connection.scalar(_HOLDS))


# One statement, so that it is one round trip. The role goes with the transaction, whatever becomes of it.
_BEGIN = named(
    "begin_reading",
    "SELECT set_config('transaction_read_only', 'on', true), set_config('caly.tenant', :tenant, true), "
    f"set_config('role', '{READER}', true)",
)

# A superuser acts as any role. Others must be members; before version 16 CREATEROLE was enough to become one.
_ENSURE_READER = f"""
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN
    CREATE ROLE {READER} NOLOGIN;
  END IF;
  BEGIN
    SET LOCAL ROLE {READER};
    RESET ROLE;
  EXCEPTION WHEN insufficient_privilege THEN
    EXECUTE format('GRANT {READER} TO %I', current_user);
  END;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN
    NULL; -- made by somebody else at this moment
  WHEN insufficient_privilege THEN
    RAISE insufficient_privilege USING MESSAGE = format(
      'The role %1$I lacks CREATEROLE, or ADMIN OPTION on {READER}, to set up row-level security. Let a superuser run: '
      'CREATE ROLE {READER} NOLOGIN; GRANT {READER} TO %1$I;', current_user);
END
$$
"""

# Ours lets everybody but the reader see everything; its beginning is as the server writes it.
_HIDING = (
    text(
        "SELECT pg_class.oid::regclass::text FROM pg_class WHERE relrowsecurity AND row_security_active(pg_class.oid) "
        "AND NOT coalesce((SELECT count(*) = 1 AND bool_and(polpermissive AND polcmd = '*' AND polroles = '{0}' "
        "AND starts_with(pg_get_expr(polqual, polrelid), :beginning)) "
        "FROM pg_policy WHERE polrelid = pg_class.oid), false) ORDER BY 1"
    )
    .bindparams(beginning=f"((CURRENT_USER <> '{READER}'::name) OR ")
    .execution_options(name="find_hiding_policies")
)
_HOLDS = named(
    "find_policies",
    "SELECT bool_or(row_security_active(oid)) FROM pg_class WHERE relrowsecurity",
)
