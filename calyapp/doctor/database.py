"""Whether PostgreSQL is the server that Caly's promises rest on. Holds no SQL: what is judged comes from `db`."""

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
_REACHABLE = "database"
_MIGRATED = "migrations"
_CLOCK_WARN_SECONDS, _CLOCK_FAIL_SECONDS = 2, 60


def checks(settings: Settings, pool: Pool) -> list[NamedCheck]:
    """Over the pool that deliveries use: with their time-outs, for a server that is too slow for them is away."""

    @cache
    def server() -> Server:
        with pool.connection() as connection:
            return inspection.inspect(connection)

    return [
        NamedCheck(_REACHABLE, lambda: check_connection(server)),
        NamedCheck("database pooler", lambda: check_pooler(server(), pool), _REACHABLE),
        NamedCheck("database version", lambda: check_version(server()), _REACHABLE),
        NamedCheck("database writes", lambda: check_writable(server()), _REACHABLE),
        NamedCheck("database durability", lambda: check_durability(server()), _REACHABLE),
        NamedCheck("database connections", lambda: check_connections(server(), settings), _REACHABLE),
        NamedCheck("database clock", lambda: check_clock(server().seconds_ahead), _REACHABLE),
        NamedCheck(_MIGRATED, lambda: check_migrations(pool), _REACHABLE),
        NamedCheck("database role", lambda: check_role(server(), pool), _MIGRATED),
        NamedCheck("partitions", lambda: check_partitions(pool), _MIGRATED),
    ]


def check_connection(server: Callable[[], Server]) -> Iterator[Finding]:
    """It answers, and nobody on the way can listen."""
    try:
        found = server()
    except DatabaseError as error:
        yield fail(*connection_errors.explain(error))
        return
    yield ok("reachable on this host" if found.is_local else "reachable over TLS")
    if not found.is_local and not (found.is_encrypted and found.is_verified):
        yield warn(
            "PostgreSQL is on another host, and TLS is not demanded",
            "Add ?sslmode=verify-full&sslrootcert=… to DATABASE_URL.",
        )


def check_pooler(server: Server, pool: Pool) -> Iterator[Finding]:
    """Each connection of ours keeps its connection of the server: Caly prepares its statements on it."""
    if not server.is_pooled:
        yield ok("no pooler stands in front of it")
        return
    with pool.connection() as one, pool.connection() as other:
        shared = inspection.shares_backends(one, other)
    if shared:
        yield fail(
            "a pooler in front of it changes connections between statements: prepared ones are missing, and deliveries "
            "stay on the spool",
            connection_errors.POOLER_REMEDY,
        )
    else:
        yield warn(
            "a pooler stands in front of it, and PostgreSQL's own time-outs do not hold",
            connection_errors.POOLER_REMEDY,
        )


def check_version(server: Server) -> Iterator[Finding]:
    """One that Caly is tested with; and texts of any language fit in."""
    yield ok(f"PostgreSQL {server.version}, {server.encoding}")
    if server.version not in _VERSIONS:
        yield fail(f"PostgreSQL {server.version} is not supported", "Use a server of version 15 to 18.")
    if server.encoding != "UTF8":
        yield fail(
            f"its encoding is {server.encoding}: a name in Hindi could not be stored",
            "Make the database anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
        )


def check_writable(server: Server) -> Iterator[Finding]:
    """It is the primary, and takes what is written."""
    yield ok("takes what is written")
    if server.is_standby:
        yield fail("the server is a standby", "Let DATABASE_URL lead to the primary, or promote this server.")
    elif server.is_read_only:
        yield fail(
            "the server takes only reads",
            "Set default_transaction_read_only to off, for the server, the database and the role.",
        )


def check_durability(server: Server) -> Iterator[Finding]:
    """What is committed is on disk: our 200 says so."""
    yield ok("what is committed is on disk")
    for setting in server.not_durable:
        yield fail(
            f"{setting} is off: acknowledged deliveries are lost when the server crashes",
            f"ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf().",
        )


def check_connections(server: Server, settings: Settings) -> Iterator[Finding]:
    """All workers at their most find a connection each."""
    if shortage := connection_budget.shortage(server.connections, settings.workers, settings.db_pool_max):
        yield fail(shortage.found, shortage.remedy)
    else:
        most = settings.workers * settings.db_pool_max
        yield ok(f"at most {settings.workers} × {settings.db_pool_max} = {most} of {server.connections}")


def check_clock(seconds_ahead: float) -> Iterator[Finding]:
    """The server's clock and ours tell the same time: entries of the trail are dated here, calls are joined there."""
    apart, where = abs(seconds_ahead), "ahead of" if seconds_ahead > 0 else "behind"
    remedy = "Let both hosts follow a time server: timedatectl set-ntp true."
    if apart <= _CLOCK_WARN_SECONDS:
        yield ok(f"within {_CLOCK_WARN_SECONDS} s of this host's")
    elif apart <= _CLOCK_FAIL_SECONDS:
        yield warn(f"{apart:.1f} s {where} this host's", remedy)
    else:
        yield fail(f"{apart:.0f} s {where} this host's", remedy)


def check_migrations(pool: Pool) -> Iterator[Finding]:
    """The tables are those that this code was written for."""
    try:
        finding = service_checks.check_migrations(pool)
    except DatabaseError:
        yield fail("the database has never been migrated", MIGRATE)
        return
    current = finding.facts.get("current")
    is_newer = current is not None and not migrations.is_known(str(current))
    yield from_health(finding, f"at {current}, the newest", warn if is_newer else fail)


def check_role(server: Server, pool: Pool) -> Iterator[Finding]:
    """It may do what the service does, and no more."""
    with pool.connection() as connection:
        lacking = inspection.lacking_privileges(connection)
    yield ok("may do what the service does, and is no superuser")
    if lacking:
        yield fail(
            f"the role lacks {', '.join(lacking)}",
            "Migrate as the role of DATABASE_URL, or make it the owner of the tables and of the schema.",
        )
    if server.is_superuser:
        yield warn(
            "the role is a superuser: a fault in Caly could reach everything on the server",
            "Give Caly a role of its own (CREATE ROLE … LOGIN) that owns its database.",
        )


def check_partitions(pool: Pool) -> Iterator[Finding]:
    """The audit entries of this month and the next have a place."""
    with pool.connection() as connection:
        absent = partitions.missing(connection, clock.now())
    if absent:
        yield fail(f"no partition {', '.join(absent)}", "Run `flask caly partitions`.")
    else:
        yield ok("of this month and the next are there")
