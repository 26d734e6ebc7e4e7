"""Counts what is limited: in Redis for all workers and machines together, here alone while Redis is away or slow."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

from flask_limiter import Limiter
from limits import RateLimitItem
from limits.storage import MemoryStorage, Storage
from redis.backoff import NoBackoff
from redis.retry import Retry

from calyapp import metrics
from calyapp.breaker import Breaker
from calyapp.health.checks import Finding, Health
from calyapp.redis_errors import explain

PATIENCE_SECONDS = 0.05
REDIS_OPTIONS = {
    "socket_timeout": PATIENCE_SECONDS,
    "socket_connect_timeout": PATIENCE_SECONDS,
    "retry": Retry(NoBackoff(), 0),  # the library's default waits for seconds
}
_PROBE_KEY = "caly/probe"  # never set: to look for it shows that Redis answers, and takes the password
_MAX_WINDOWS = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WindowState:
    """How often a key was hit in its window so far, this hit included, and when the window ends (Unix time)."""

    count: int
    resets_at: float


class _StorageWindows:
    """The windows of one storage."""

    def __init__(self, storage: Storage, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._clock = clock
        self._ends: dict[str, float] = {}
        # The library's own memory is for one thread at a time: of two, the second starts the first one's timer again
        # and fails. Redis sees to itself.
        self._turn: AbstractContextManager[Any] = Lock() if isinstance(storage, MemoryStorage) else nullcontext()

    def hit(self, limit: RateLimitItem, name: str) -> WindowState:
        with self._turn:
            count = self._storage.incr(name, limit.get_expiry())
        return WindowState(count, self._end(limit, name, count))

    def peek(self, _limit: RateLimitItem, name: str) -> WindowState:
        return WindowState(self._storage.get(name), self._storage.get_expiry(name))

    def _end(self, limit: RateLimitItem, name: str, count: int) -> float:
        """Asked for once a window; the storage is a round trip away."""
        now = self._clock()
        known = self._ends.get(name, 0.0)
        if count > 1 and known > now:
            return known
        if len(self._ends) >= _MAX_WINDOWS:
            self._ends.clear()
        end = now + limit.get_expiry() if count == 1 else self._storage.get_expiry(name)
        self._ends[name] = end
        return end


class RateLimitWindows:
    """Fixed windows: the first hit opens one, and it lasts as long as the limit says."""

    def __init__(
        self,
        limiter: Limiter,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` tells the Unix time, of which windows are; `elapsed` any time that nobody sets back."""
        self._storage = limiter.storage
        self._shared = _StorageWindows(limiter.storage, clock)
        self._faults = limiter.storage.base_exceptions
        self._own = _StorageWindows(MemoryStorage(), clock)
        self._breaker = Breaker(failures=1, pause=1.0, max_pause=32.0, on_change=_tell, clock=elapsed)

    def hit(self, limit: RateLimitItem, *key: str) -> WindowState:
        """Count one. Never raises for the storage: what cannot be counted for all is counted for this worker."""
        return self._ask(_StorageWindows.hit, limit, key)

    def peek(self, limit: RateLimitItem, *key: str) -> WindowState:
        """As the window stands, without a hit. Never raises for the storage either."""
        return self._ask(_StorageWindows.peek, limit, key)

    def check(self) -> Finding:
        """Whether the storage is there and this worker uses it. Never unhealthy: no request is refused for it."""
        if isinstance(self._storage, MemoryStorage):
            return Finding(Health.HEALTHY, facts={"storage": "memory"})
        facts = {"storage": "redis", "fallback": self._breaker.is_open}
        began = time.perf_counter()
        try:
            self._storage.get(_PROBE_KEY)
        except self._faults as error:
            found, remedy = explain(error)
            return Finding(Health.DEGRADED, f"{found}; each worker counts for itself", remedy, facts)
        milliseconds = {"milliseconds": round((time.perf_counter() - began) * 1000, 2)}
        if self._breaker.is_open:
            reason = "Redis was away or slow, and this worker counts for itself until it asks again"
            return Finding(Health.DEGRADED, reason, "Wait half a minute. If it stays, see the load of Redis.", facts)
        return Finding(Health.HEALTHY, facts=facts | milliseconds)

    def _ask(
        self,
        question: Callable[[_StorageWindows, RateLimitItem, str], WindowState],
        limit: RateLimitItem,
        key: tuple[str, ...],
    ) -> WindowState:
        name = limit.key_for(*key)
        if (attempt := self._breaker.may_try()) is not None:
            try:
                hits = question(self._shared, limit, name)
            except self._faults:
                self._breaker.failed(attempt)
            else:
                self._breaker.succeeded(attempt)
                return hits
        metrics.RATE_LIMIT_FALLBACKS.inc()
        return question(self._own, limit, name)


def _tell(is_open: bool) -> None:
    if is_open:
        error = sys.exception()
        fields = {"reason": explain(error)} if error else {}
        _log.warning("limits storage fails: each worker counts for itself", extra={"fields": fields}, exc_info=True)
    else:
        _log.info("limits storage is back")
