"""Explains why PostgreSQL failed: what is wrong, and what to do next.

An explanation never repeats the driver's message. It contains the address, which includes a part of the password if
that is not percent-encoded, and it can contain statements and rows.
"""

import re
from collections.abc import Iterator

import psycopg2
import psycopg2.errors
import sqlalchemy

from calyapp.db.deadline import AnswerDeadlinePassed, ConnectDeadlinePassed
from calyapp.errors import Explanation


def explain(error: BaseException, source: str = "DATABASE_URL") -> Explanation:
    """Explains an error of psycopg2 or SQLAlchemy, or an error of Caly that has one as its cause.

    `source` names the setting or option that holds the address.
    """
    problem, remedy = next(filter(None, map(_explained, _causes(error))), _UNKNOWN)
    return Explanation(problem, remedy.format(source=source))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _explained(error: BaseException) -> tuple[str, str] | None:
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return _BUSY
    if isinstance(error, sqlalchemy.exc.ArgumentError | sqlalchemy.exc.NoSuchModuleError):
        return _MALFORMED
    if not isinstance(error, psycopg2.Error):
        return None
    for kinds, explanation in _BY_CLASS:
        if isinstance(error, kinds):
            return explanation
    # An error while a connection is opened has no SQLSTATE in psycopg2, only a text.
    message = str(error)
    return next((explanation for pattern, explanation in _BY_TEXT if re.search(pattern, message)), None)


_UNKNOWN = ("PostgreSQL failed", "See the log of PostgreSQL for the cause.")
_BUSY = ("All database connections of this process are in use", "Try again, or raise DB_POOL_MAX.")
_MALFORMED = ("The database URL is malformed", "Write {source} as postgresql://USER:PASSWORD@HOST:PORT/DATABASE.")
_NOT_MIGRATED = (
    "The tables in this database are missing or too old",
    "Run `caly alembic upgrade head` (in development `make migrate`).",
)

POOLER_REMEDY = (
    "Set pool_mode=session and ignore_startup_parameters=options in PgBouncer, or connect to PostgreSQL directly: "
    "Caly has a pool of its own (DB_POOL_MAX)."
)

_BY_CLASS: tuple[tuple[type[psycopg2.Error] | tuple[type[psycopg2.Error], ...], tuple[str, str]], ...] = (
    (
        ConnectDeadlinePassed,
        (
            "PostgreSQL did not answer in time when the connection was opened",
            "Check the host and port in {source}, and the firewall between the two hosts.",
        ),
    ),
    (
        (AnswerDeadlinePassed, psycopg2.errors.QueryCanceled),
        (
            "A statement timed out",
            "Try again when PostgreSQL has less to do, or raise DB_STATEMENT_TIMEOUT (milliseconds).",
        ),
    ),
    (
        (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected),
        (
            "A statement waited too long for a lock that another session holds",
            "Try again; if it persists, find the session that holds the lock in pg_stat_activity.",
        ),
    ),
    (
        (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn, psycopg2.errors.UndefinedFunction),
        _NOT_MIGRATED,
    ),
    (
        psycopg2.errors.InsufficientPrivilege,
        (
            "The database user lacks a privilege",
            "Run `flask caly doctor`, which names the missing privileges.",
        ),
    ),
    (
        psycopg2.errors.ReadOnlySqlTransaction,
        (
            "PostgreSQL accepts only reads, as a standby does",
            "Let {source} lead to the primary, or promote this server.",
        ),
    ),
    (
        (psycopg2.errors.InvalidSqlStatementName, psycopg2.errors.DuplicatePreparedStatement),
        ("A pooler in front of PostgreSQL changes connections between statements", POOLER_REMEDY),
    ),
    (psycopg2.errors.DiskFull, ("The disk of PostgreSQL is full", "Free some space on the disk of PostgreSQL.")),
)

_CORRECT_HOST_AND_PORT = "Start PostgreSQL, or correct the host and port in {source}."
_BY_TEXT: tuple[tuple[str, tuple[str, str]], ...] = (
    (
        r"could not translate host name",
        (
            "The host name of PostgreSQL does not resolve",
            "Correct the host in {source}, and percent-encode the password (@ is %40).",
        ),
    ),
    (r"Connection refused", ("PostgreSQL refuses the connection: nothing listens there", _CORRECT_HOST_AND_PORT)),
    (
        r"No such file or directory\s+Is the server running locally",
        (
            "PostgreSQL is not running on this host: its socket does not exist",
            "Start PostgreSQL (in development `make run`), or correct {source}.",
        ),
    ),
    (
        r"No route to host|Network is unreachable|Connection timed out",
        (
            "The host of PostgreSQL cannot be reached",
            "Check the host in {source}, and the network between the two hosts.",
        ),
    ),
    (
        r"unsupported startup parameter",
        ("A pooler in front of PostgreSQL does not accept Caly's connection options", POOLER_REMEDY),
    ),
    (
        r"(Peer|Ident) authentication failed",
        (
            "PostgreSQL lets this database user in only from the account of the same name",
            "Run the command as that account, or give {source} a host and a password.",
        ),
    ),
    (
        r"no password supplied",
        ("PostgreSQL asks for a password, and none is set", "Add the password to {source}, percent-encoded."),
    ),
    (
        r"authentication failed",
        (
            "PostgreSQL does not accept the user or the password",
            "Correct the user and the password in {source}; percent-encode the password.",
        ),
    ),
    (
        r"role .* does not exist",
        (
            "The database user does not exist",
            "Create it (CREATE ROLE … LOGIN PASSWORD …), or correct the user in {source}.",
        ),
    ),
    (
        r"role .* is not permitted to log in",
        ("The database user may not log in", "Allow it (ALTER ROLE … LOGIN), or correct the user in {source}."),
    ),
    (
        r"pg_hba\.conf.*(\[local\]|SSL (encryption|on))",
        (
            "PostgreSQL refuses this user, database or host (pg_hba.conf)",
            "Add a line for them to pg_hba.conf and reload PostgreSQL, or correct {source}.",
        ),
    ),
    (
        r"pg_hba\.conf",
        (
            "PostgreSQL refuses this user, database or host without TLS (pg_hba.conf)",
            "If PostgreSQL offers TLS, set sslmode=require in {source}; else add a line for them to pg_hba.conf.",
        ),
    ),
    (
        r"database .* does not exist",
        ("The database does not exist", "Create it (CREATE DATABASE … OWNER …), or correct the name in {source}."),
    ),
    (
        r"too many (connections|clients)|connection slots",
        (
            "PostgreSQL has no connection left",
            "Close idle sessions, lower DB_POOL_MAX or WEB_CONCURRENCY, or raise max_connections.",
        ),
    ),
    (
        r"starting up|shutting down|in recovery|not yet accepting",
        ("PostgreSQL is starting up or shutting down", "Try again in some seconds."),
    ),
    (
        r"does not support SSL",
        (
            "PostgreSQL offers no TLS, and sslmode demands it",
            "Turn TLS on in PostgreSQL (ssl = on), or remove sslmode from {source} if the server is on this host.",
        ),
    ),
    (
        r"root certificate file",
        (
            "sslmode demands a trusted certificate, and the file of root certificates does not exist",
            "Let sslrootcert in {source} name the certificate of the authority, or write sslrootcert=system.",
        ),
    ),
    (
        r"does not match host name",
        (
            "The TLS certificate of PostgreSQL is for another host",
            "Use in {source} the host name that the certificate carries.",
        ),
    ),
    (
        r"certificate verify failed|self-signed certificate",
        (
            "The TLS certificate of PostgreSQL is not trusted",
            "Let sslrootcert in {source} name the certificate of the authority that issued it.",
        ),
    ),
    (
        r"sslmode",
        (
            "sslmode has a value that PostgreSQL does not accept here",
            "Set sslmode in {source} to require, verify-ca or verify-full (with sslrootcert=system only verify-full).",
        ),
    ),
    (
        r"response to SSL negotiation|unsupported frontend protocol|expected authentication request",
        ("Another program than PostgreSQL answers there", "Correct the host and port in {source}."),
    ),
    (
        r"SSL|certificate|private key",
        (
            "TLS with PostgreSQL failed",
            "Check sslmode, sslrootcert, sslcert and sslkey in {source}, and the log of PostgreSQL.",
        ),
    ),
    (r"invalid (dsn|port|integer|connection option|URI|percent-encoded)", _MALFORMED),
    (
        r"closed the connection|terminating connection|connection already closed|EOF detected|reset by peer",
        ("PostgreSQL closed the connection", "Try again; if it persists, look into the log of PostgreSQL."),
    ),
)
