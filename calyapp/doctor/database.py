"""Checks of PostgreSQL. Holds no SQL: `db.inspection` reads what is assessed here."""

from collections.abc import Callable, Iterator
from functools import cache

from calyapp import clock
from calyapp.config import Settings
from calyapp.db import connection_budget, connection_errors, inspection, migrations, partitions
from calyapp.db.engine import Pool
from calyapp.db.inspection import Server
from calyapp.doctor.diagnosis import NamedCheck, fail, from_health, ok, warn
from calyapp.errors import DatabaseError
from calyapp.health import service_checks
from calyapp.health.checks import Finding
from calyapp.health.service_checks import MIGRATE

_VERSIONS = range(15, 19)
_CONNECTION = "database"
_MIGRATIONS = "migrations"
_CLOCK_WARN_SECONDS, _CLOCK_FAIL_SECONDS = 2, 60


def checks(settings: Settings, pool: Pool) -> list[NamedCheck]:
    """Returns the checks of the database. They use the pool and the time-outs of deliveries: a slow server is away."""

    @cache
    def server() -> Server:
        with pool.connection() as connection:
            return inspection.inspect(connection)

    return [
        NamedCheck(_CONNECTION, lambda: check_connection(server)),
        NamedCheck("database pooler", lambda: check_pooler(server(), pool), _CONNECTION),
        NamedCheck("database version", lambda: check_version(server()), _CONNECTION),
        NamedCheck("database writes", lambda: check_writable(server()), _CONNECTION),
        NamedCheck("database durability", lambda: check_durability(server()), _CONNECTION),
        NamedCheck("database connections", lambda: check_connections(server(), settings), _CONNECTION),
        NamedCheck("database clock", lambda: check_clock(server().seconds_ahead), _CONNECTION),
        NamedCheck(_MIGRATIONS, lambda: check_migrations(pool), _CONNECTION),
        NamedCheck("database role", lambda: check_role(server(), pool), _MIGRATIONS),
        NamedCheck("partitions", lambda: check_partitions(pool), _MIGRATIONS),
    ]


def check_connection(server: Callable[[], Server]) -> Iterator[Finding]:
    """Checks that the server answers, over TLS if it is on another host."""
    try:
        inspected = server()
    except DatabaseError as error:
        yield fail(*connection_errors.explain(error))
        return
    yield ok("reachable on this host" if inspected.is_local else "reachable over TLS")
    if not inspected.is_local and not (inspected.is_encrypted and inspected.is_verified):
        yield warn(
            "PostgreSQL is on another host, and the connection does not require TLS",
            "Add ?sslmode=verify-full&sslrootcert=… to DATABASE_URL.",
        )


def check_pooler(server: Server, pool: Pool) -> Iterator[Finding]:
    """Checks that no pooler moves a connection to another backend, because Caly prepares its statements on it."""
    if not server.is_pooled:
        yield ok("no pooler in front of it")
        return
    with pool.connection() as one, pool.connection() as other:
        shared = inspection.shares_backends(one, other)
    if shared:
        yield fail(
            "a pooler in front of it changes backends between statements: prepared statements fail, and deliveries "
            "stay on the spool",
            connection_errors.POOLER_REMEDY,
        )
    else:
        yield warn(
            "a pooler is in front of it, so PostgreSQL's own time-outs do not apply",
            connection_errors.POOLER_REMEDY,
        )


def check_version(server: Server) -> Iterator[Finding]:
    """Checks that the version is one Caly is tested with, and that the encoding is UTF-8."""
    yield ok(f"PostgreSQL {server.version}, {server.encoding}")
    if server.version not in _VERSIONS:
        yield fail(f"PostgreSQL {server.version} is not supported", "Use a server of version 15 to 18.")
    if server.encoding != "UTF8":
        yield fail(
            f"its encoding is {server.encoding}: a name in Hindi could not be stored",
            "Create the database again: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
        )


def check_writable(server: Server) -> Iterator[Finding]:
    """Checks that the server is a primary that accepts writes."""
    yield ok("accepts writes")
    if server.is_standby:
        yield fail("the server is a standby", "Set DATABASE_URL to the primary, or promote this server.")
    elif server.is_read_only:
        yield fail(
            "the server is read-only",
            "Set default_transaction_read_only to off for the server, the database and the role.",
        )


def check_durability(server: Server) -> Iterator[Finding]:
    """Checks that a commit reaches the disk, because an acknowledgement promises it."""
    yield ok("commits are written to disk")
    for setting in server.not_durable:
        yield fail(
            f"{setting} is off: acknowledged deliveries are lost when the server crashes",
            f"ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf().",
        )


def check_connections(server: Server, settings: Settings) -> Iterator[Finding]:
    """Checks that the server has enough connections for all workers."""
    if shortage := connection_budget.shortage(server.connections, settings.workers, settings.db_pool_max):
        yield fail(shortage.found, shortage.remedy)
    else:
        maximum = settings.workers * settings.db_pool_max
        yield ok(f"at most {settings.workers} × {settings.db_pool_max} = {maximum} of {server.connections}")


def check_clock(seconds_ahead: float) -> Iterator[Finding]:
    """Checks the clocks: audit entries are dated on this host, calls are updated on the server."""
    difference, direction = abs(seconds_ahead), "ahead of" if seconds_ahead > 0 else "behind"
    remedy = "Synchronise both hosts with a time server: timedatectl set-ntp true."
    if difference <= _CLOCK_WARN_SECONDS:
        yield ok(f"within {_CLOCK_WARN_SECONDS} s of this host's")
    elif difference <= _CLOCK_FAIL_SECONDS:
        yield warn(f"{difference:.1f} s {direction} this host's", remedy)
    else:
        yield fail(f"{difference:.0f} s {direction} this host's", remedy)


def check_migrations(pool: Pool) -> Iterator[Finding]:
    """Checks that the tables are those that this code needs."""
    try:
        finding = service_checks.check_migrations(pool)
    except DatabaseError:
        yield fail("the database has never been migrated", MIGRATE)
        return
    current = finding.facts.get("current")
    is_newer = current is not None and not migrations.is_known(str(current))
    yield from_health(finding, f"at {current}, the latest", warn if is_newer else fail)


def check_role(server: Server, pool: Pool) -> Iterator[Finding]:
    """Checks that the role has the privileges that the service needs, and no more."""
    with pool.connection() as connection:
        missing = inspection.lacking_privileges(connection)
    yield ok("has the privileges it needs, and is not a superuser")
    if missing:
        yield fail(
            f"the role lacks {', '.join(missing)}",
            "Migrate as the role of DATABASE_URL, or make it the owner of the tables and of the schema.",
        )
    if server.is_superuser:
        yield warn(
            "the role is a superuser: a fault in Caly could affect the whole server",
            "Give Caly a role of its own (CREATE ROLE … LOGIN) that owns its database.",
        )


def check_partitions(pool: Pool) -> Iterator[Finding]:
    """Checks that the partitions of this month and the next exist."""
    with pool.connection() as connection:
        missing = partitions.missing(connection, clock.now())
    if missing:
        yield fail(f"no partition {', '.join(missing)}", "Run `flask caly partitions`.")
    else:
        yield ok("those of this month and the next exist")
