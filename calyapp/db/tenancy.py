"""Row-level security: reads run as the role `caly_reader`, which sees the rows of the tenant set for the transaction.

So a forgotten condition in a statement reveals nothing. Other roles with a grant (for ingest, maintenance, the owner)
see all rows. This module knows nothing of users and roles.
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
"""Instead of a tenant: the rows of all clients, and those without a client."""

Tenant = UUID | Literal["*"]


@contextmanager
def reading(pool: Pool, tenant: Tenant) -> Iterator[Connection]:
    """Yields a read-only transaction that sees only this tenant's rows."""
    with pool.transaction() as connection:
        connection.execute(_BEGIN, {"tenant": str(tenant)})
        yield connection


def ensure_reader(connection: Connection) -> None:
    """Creates the role `caly_reader`, which no backup contains, and makes the current role a member. Idempotent.

    Raises `DatabaseError` if the current role lacks a privilege. Its cause names the privilege and what to run.
    """
    connection.execute(named("ensure_reader", _ENSURE_READER))


def hiding_tables(connection: Connection) -> list[str]:
    """Returns the tables whose policies, other than ours, may hide rows from the current role."""
    return list(connection.scalars(_HIDING))


def holds_for_us(connection: Connection) -> bool:
    """Returns whether policies apply to the current role. To a superuser they do not."""
    return bool(connection.scalar(_HOLDS))


# One statement is one round trip. The settings end with the transaction, also if it fails.
_BEGIN = named(
    "begin_reading",
    "SELECT set_config('transaction_read_only', 'on', true), set_config('caly.tenant', :tenant, true), "
    f"set_config('role', '{READER}', true)",
)

# A superuser can set any role. Others must be members. Before version 16, CREATEROLE was enough to become one.
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
    NULL; -- created by another session at this moment
  WHEN insufficient_privilege THEN
    RAISE insufficient_privilege USING MESSAGE = format(
      'The role %1$I lacks CREATEROLE, or ADMIN OPTION on {READER}, to set up row-level security. Let a superuser run: '
      'CREATE ROLE {READER} NOLOGIN; GRANT {READER} TO %1$I;', current_user);
END
$$
"""

# Recognises our policy, which restricts only the reader, by its beginning as the server prints it.
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
