"""Explains why Redis failed: what is wrong, and what to do next. Never repeats the address and its password."""

import re
import socket
import ssl
from collections.abc import Iterator

import redis

from calyapp.errors import Explanation


def explain(error: BaseException) -> Explanation:
    """Explains an error of the driver by its text and by the network error below it."""
    return next(filter(None, map(_explained, _causes(error))), _UNKNOWN)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields the network error first, because it is more precise than the driver's."""
    if error is not None:
        yield from _causes(error.__cause__ or error.__context__)
        yield error


def _explained(error: BaseException) -> Explanation | None:
    message = str(error)
    by_text = (explanation for pattern, explanation in _BY_TEXT if re.search(pattern, message))
    by_class = (explanation for kinds, explanation in _BY_CLASS if isinstance(error, kinds))
    return next(by_text, None) or next(by_class, None)


_UNKNOWN = Explanation("Redis failed", "See the log of Redis for the cause.")
_BY_TEXT = (
    (
        r"[Aa]uthentication required",
        Explanation(
            "Redis asks for a password, and none is set", "Add it: RATELIMIT_STORAGE_URI=redis://:PASSWORD@HOST/0."
        ),
    ),
    (
        r"without any password configured",
        Explanation(
            "Redis has no password, and one is given",
            "Set the password in Redis (requirepass), or remove it from RATELIMIT_STORAGE_URI.",
        ),
    ),
    (
        r"DB index is out of range",
        Explanation("Redis has no database of this number", "Correct the number at the end of RATELIMIT_STORAGE_URI."),
    ),
    (
        r"max number of clients",
        Explanation("Redis has no connection left", "Raise maxclients in Redis, or close idle clients."),
    ),
)
_BY_CLASS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Explanation], ...] = (
    (
        redis.AuthenticationError,
        Explanation(
            "Redis does not accept the user or the password",
            "Correct them in RATELIMIT_STORAGE_URI; percent-encode the password.",
        ),
    ),
    (
        redis.exceptions.NoPermissionError,
        Explanation(
            "Redis does not allow this user to count",
            "Allow it to read, write and run scripts: ACL SETUSER … +@read +@write +@scripting ~LIMITS:*.",
        ),
    ),
    (
        redis.exceptions.ReadOnlyError,
        Explanation(
            "This Redis is a replica, which accepts no writes", "Let RATELIMIT_STORAGE_URI lead to the primary."
        ),
    ),
    (
        redis.exceptions.OutOfMemoryError,
        Explanation("The memory of Redis is full", "Raise maxmemory in Redis, or choose an eviction policy."),
    ),
    (
        redis.exceptions.BusyLoadingError,
        Explanation("Redis is still loading its data", "Try again in some seconds."),
    ),
    (
        ssl.SSLCertVerificationError,
        Explanation(
            "The TLS certificate of Redis is not trusted, or is for another host",
            "Install the certificate of the authority on this host (or set SSL_CERT_FILE), "
            "and use the host name that the certificate carries.",
        ),
    ),
    (
        ssl.SSLError,
        Explanation(
            "TLS with Redis failed",
            "Use rediss:// in RATELIMIT_STORAGE_URI only for a port on which Redis speaks TLS, else redis://.",
        ),
    ),
    (
        socket.gaierror,
        Explanation("The host name of Redis does not resolve", "Correct the host in RATELIMIT_STORAGE_URI."),
    ),
    (
        ConnectionRefusedError,
        Explanation(
            "Redis refuses the connection: nothing listens there",
            "Start it (systemctl start redis-server), or correct RATELIMIT_STORAGE_URI.",
        ),
    ),
    (
        (TimeoutError, redis.TimeoutError),
        Explanation(
            "Redis does not answer in time",
            "Check that RATELIMIT_STORAGE_URI leads to Redis (rediss:// for TLS, else redis://), "
            "and what else Redis and its host are doing.",
        ),
    ),
    (
        (redis.ConnectionError, OSError),
        Explanation(
            "The connection to Redis broke",
            "Check that RATELIMIT_STORAGE_URI leads to Redis (rediss:// for TLS, else redis://), and the log of Redis.",
        ),
    ),
)
