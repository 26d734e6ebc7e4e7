"""Reads facts about a PostgreSQL server that help to examine a deployment. Judges and changes nothing."""

import time
from dataclasses import dataclass

from sqlalchemy import Connection, text

from calyapp.db.queries import named


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as one of our connections sees it."""

    version: int
    is_local: bool
    is_encrypted: bool
    is_verified: bool
    """Whether the connection would be refused without TLS."""
    is_standby: bool
    is_read_only: bool
    encoding: str
    not_durable: tuple[str, ...]
    """The settings that put committed data at risk."""
    connections: int
    """Maximum for our role, over all processes."""
    is_superuser: bool
    seconds_ahead: float
    """The server's clock minus this host's clock."""
    is_pooled: bool
    """Whether a pooler is between this service and the server."""


def inspect(connection: Connection) -> Server:
    """Reads all facts in one round trip."""
    connection.execute(text("SELECT 1"))  # the first statement has extra costs, which would distort the measurement
    sent_at = time.time()
    row = connection.execute(_INSPECT).mappings().one()
    halfway = (sent_at + time.time()) / 2
    verified = _ssl_mode(connection) in ("require", "verify-ca", "verify-full")
    facts = {name: row[name] for name in row if name not in ("now", "not_durable", "backend")}
    return Server(
        **facts,
        is_verified=verified,
        not_durable=tuple(row["not_durable"]),
        seconds_ahead=row["now"].timestamp() - halfway,
        is_pooled=row["backend"] != _promised_backend(connection),
    )


def shares_backends(one: Connection, other: Connection) -> bool:
    """Returns whether a pooler gives two connections that are open at the same time the same server connection."""
    return bool(one.execute(_BACKEND).scalar_one() == other.execute(_BACKEND).scalar_one())


def lacking_privileges(connection: Connection) -> list[str]:
    """Returns the privileges that the service needs and the role lacks, in SQL terms. The tables must exist."""
    return [str(privilege) for privilege in connection.scalars(_LACKING)]


def _promised_backend(connection: Connection) -> int:
    """Returns the process id that the server reported at connect time. A pooler reports an invented one."""
    driver = connection.connection.dbapi_connection
    return int(driver.info.backend_pid) if driver else 0


def _ssl_mode(connection: Connection) -> str:
    driver = connection.connection.dbapi_connection
    return str(driver.info.dsn_parameters.get("sslmode", "")) if driver else ""


_BACKEND = named("read_backend", "SELECT pg_backend_pid()")

# reserved_connections exists since version 16. A limit of -1 means no limit; limits do not apply to superusers.
_INSPECT = named(
    "inspect_server",
    """
SELECT
  current_setting('server_version_num')::int / 10000 AS version,
  coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1'
           OR inet_server_addr() = inet_client_addr(), true) AS is_local,
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS is_encrypted,
  pg_is_in_recovery() AS is_standby,
  current_setting('transaction_read_only') = 'on' AS is_read_only,
  current_setting('server_encoding') AS encoding,
  ARRAY(SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')
        AND setting = 'off' ORDER BY name) AS not_durable,
  least(
    current_setting('max_connections')::int - CASE WHEN rolsuper THEN 0 ELSE
      current_setting('superuser_reserved_connections')::int
      + coalesce(current_setting('reserved_connections', true), '0')::int END,
    CASE WHEN NOT rolsuper THEN nullif(rolconnlimit, -1) END,
    CASE WHEN NOT rolsuper THEN nullif(datconnlimit, -1) END
  ) AS connections,
  rolsuper AS is_superuser,
  pg_backend_pid() AS backend,
  clock_timestamp() AS now
FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
""",
)

# Attaching a partition requires ownership of the table; creating one requires CREATE on the schema.
_LACKING = named(
    "list_lacking_privileges",
    """
SELECT privilege || ' ON ' || name FROM (VALUES
  (1, 'SELECT', 'clients'), (2, 'SELECT', 'client_numbers'),
  (3, 'SELECT', 'deliveries'), (4, 'INSERT', 'deliveries'), (5, 'UPDATE', 'deliveries'),
  (6, 'SELECT', 'calls'), (7, 'INSERT', 'calls'), (8, 'UPDATE', 'calls'),
  (9, 'SELECT', 'audit_logs'), (10, 'INSERT', 'audit_logs'), (11, 'INSERT', 'audit_counts_pending'),
  (12, 'SELECT', 'audit_counts_pending'), (13, 'DELETE', 'audit_counts_pending'),
  (14, 'SELECT', 'audit_counts_daily'), (15, 'INSERT', 'audit_counts_daily'), (16, 'UPDATE', 'audit_counts_daily')
) AS needed (place, privilege, name) WHERE NOT has_table_privilege(name, privilege)
UNION ALL SELECT 'CREATE ON SCHEMA ' || current_schema() WHERE NOT has_schema_privilege(current_schema(), 'CREATE')
UNION ALL SELECT 'OWNERSHIP OF audit_logs' FROM pg_class
  WHERE oid = 'audit_logs'::regclass AND NOT pg_has_role(relowner, 'USAGE')
""",
)
