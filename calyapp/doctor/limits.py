"""Checks of the storage of the rate limits: shared by all workers, and fast enough for a request."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import redis

from calyapp import redis_errors
from calyapp.config import Settings
from calyapp.doctor import network
from calyapp.doctor.diagnosis import NamedCheck, fail, ok, warn
from calyapp.health.checks import Finding
from calyapp.web.pipeline.rate_limit_window import PATIENCE_SECONDS

_SECONDS = 2.0
_ATTEMPTS = 5


def checks(settings: Settings) -> list[NamedCheck]:
    """Returns the check of the storage in RATELIMIT_STORAGE_URI."""
    uri = settings.ratelimit_storage_uri.reveal()
    if uri.startswith("memory:"):
        return [NamedCheck("limits storage", lambda: check_memory(settings.workers))]
    return [NamedCheck("limits storage", lambda: check_redis(uri))]


def check_memory(workers: int) -> Iterator[Finding]:
    """Checks that there is one worker, because each worker counts in its own memory."""
    if workers == 1:
        yield ok("in the memory of the only worker")
    else:
        yield warn(
            f"each of {workers} workers counts for itself, so a limit is up to {workers} times too high",
            "Set RATELIMIT_STORAGE_URI=redis://127.0.0.1:6379/0.",
        )


def check_redis(uri: str) -> Iterator[Finding]:
    """Checks that Redis accepts writes, and that it and its name answer within the time that a request waits."""
    host = urlsplit(uri).hostname or ""
    try:
        resolving = network.seconds_to_resolve(host)
        answering = _seconds_to_answer(uri)
    except (OSError, redis.RedisError) as error:
        explanation = redis_errors.explain(error)
        yield fail(f"{explanation.found}; each worker counts for itself", explanation.remedy)
        return
    yield from assess_speed(resolving, answering)


def assess_speed(resolving: float, answering: float) -> Iterator[Finding]:
    """Assesses the seconds to resolve the name of Redis and to get an answer: a request waits 50 ms at most."""
    yield ok(f"Redis answers within {PATIENCE_SECONDS * 1000:.0f} ms")
    if answering > PATIENCE_SECONDS:
        yield warn(
            f"Redis takes {answering * 1000:.0f} ms, but a request waits {PATIENCE_SECONDS * 1000:.0f} ms at most",
            "Run Redis on this host or on its network.",
        )
    if resolving > PATIENCE_SECONDS:
        yield warn(
            f"the name of Redis takes {resolving * 1000:.0f} ms to resolve",
            "Name Redis by its IP address in RATELIMIT_STORAGE_URI, or put its name into /etc/hosts.",
        )


def _seconds_to_answer(uri: str) -> float:
    """Returns the time of the fastest of several answers. Writes first, because counting writes."""
    with redis.Redis.from_url(uri, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS) as client:
        client.set("LIMITS:doctor", 1, ex=1)
        return min(_ping(client) for _ in range(_ATTEMPTS))


def _ping(client: redis.Redis) -> float:
    started = time.perf_counter()
    client.ping()
    return time.perf_counter() - started
