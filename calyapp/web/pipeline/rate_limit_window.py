"""Counts hits in fixed windows: in Redis for all workers and hosts, in this worker while Redis is away or slow."""

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
_PROBE_KEY = "caly/probe"  # never set: reading it shows that Redis answers and accepts the password
_MAX_WINDOWS = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WindowState:
    """The hits of a key in its current window, the present one included, and the end of the window (Unix time)."""

    count: int
    resets_at: float


class _StorageWindows:
    """The windows in one storage."""

    def __init__(self, storage: Storage, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._clock = clock
        self._ends: dict[str, float] = {}
        # `MemoryStorage` is not safe for threads: it starts one timer, and a second thread that starts it at the same
        # time fails with RuntimeError. Redis needs no lock.
        self._lock: AbstractContextManager[Any] = Lock() if isinstance(storage, MemoryStorage) else nullcontext()

    def hit(self, limit: RateLimitItem, name: str) -> WindowState:
        with self._lock:
            count = self._storage.incr(name, limit.get_expiry())
        return WindowState(count, self._end(limit, name, count))

    def peek(self, _limit: RateLimitItem, name: str) -> WindowState:
        return WindowState(self._storage.get(name), self._storage.get_expiry(name))

    def _end(self, limit: RateLimitItem, name: str, count: int) -> float:
        """Returns the end of the window. Reads it from the storage once a window, because that is a round trip."""
        now = self._clock()
        stored = self._ends.get(name, 0.0)
        if count > 1 and stored > now:
            return stored
        if len(self._ends) >= _MAX_WINDOWS:
            self._ends.clear()
        end = now + limit.get_expiry() if count == 1 else self._storage.get_expiry(name)
        self._ends[name] = end
        return end


class RateLimitWindows:
    """Counts hits in fixed windows. The first hit opens a window, which lasts for the period of the limit."""

    def __init__(
        self,
        limiter: Limiter,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` returns Unix time, for the windows; `elapsed` a monotonic time, for the breaker."""
        self._storage = limiter.storage
        self._shared = _StorageWindows(limiter.storage, clock)
        self._storage_errors = limiter.storage.base_exceptions
        self._own = _StorageWindows(MemoryStorage(), clock)
        self._breaker = Breaker(failures=1, pause=1.0, max_pause=32.0, on_change=_log_change, clock=elapsed)

    def hit(self, limit: RateLimitItem, *key: str) -> WindowState:
        """Counts one hit. If the storage fails, it is counted in this worker; never raises for the storage."""
        return self._try_shared(_StorageWindows.hit, limit, key)

    def peek(self, limit: RateLimitItem, *key: str) -> WindowState:
        """Returns the state of the window without counting a hit. Never raises for the storage."""
        return self._try_shared(_StorageWindows.peek, limit, key)

    def check(self) -> Finding:
        """Checks that the storage answers and is in use. Never unhealthy, because no request depends on it."""
        if isinstance(self._storage, MemoryStorage):
            return Finding(Health.HEALTHY, facts={"storage": "memory"})
        facts = {"storage": "redis", "fallback": self._breaker.is_open}
        began = time.perf_counter()
        try:
            self._storage.get(_PROBE_KEY)
        except self._storage_errors as error:
            explanation = explain(error)
            message = f"{explanation.found}; each worker counts for itself"
            return Finding(Health.DEGRADED, message, explanation.remedy, facts)
        milliseconds = {"milliseconds": round((time.perf_counter() - began) * 1000, 2)}
        if self._breaker.is_open:
            message = "Redis was away or slow, and this worker counts for itself until it tries Redis again"
            remedy = "Wait half a minute. If this persists, check the load of Redis."
            return Finding(Health.DEGRADED, message, remedy, facts)
        return Finding(Health.HEALTHY, facts=facts | milliseconds)

    def _try_shared(
        self,
        operation: Callable[[_StorageWindows, RateLimitItem, str], WindowState],
        limit: RateLimitItem,
        key: tuple[str, ...],
    ) -> WindowState:
        name = limit.key_for(*key)
        if (attempt := self._breaker.may_try()) is not None:
            try:
                state = operation(self._shared, limit, name)
            except self._storage_errors:
                self._breaker.failed(attempt)
            else:
                self._breaker.succeeded(attempt)
                return state
        metrics.RATE_LIMIT_FALLBACKS.inc()
        return operation(self._own, limit, name)


def _log_change(is_open: bool) -> None:
    if is_open:
        error = sys.exception()
        fields = {"reason": explain(error)} if error else {}
        message = "limits storage fails: each worker counts for itself"
        _log.warning(message, extra={"fields": fields}, exc_info=True)
    else:
        _log.info("limits storage is back")
