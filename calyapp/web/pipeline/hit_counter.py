"""Counts what is limited: in Redis for all workers and machines together, here alone while Redis is away or slow."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask_limiter import Limiter
from limits import RateLimitItem
from limits.storage import MemoryStorage, Storage
from redis.backoff import NoBackoff
from redis.retry import Retry

from calyapp import metrics

PATIENCE_SECONDS = 0.05
REDIS_OPTIONS = {
    "socket_timeout": PATIENCE_SECONDS,
    "socket_connect_timeout": PATIENCE_SECONDS,
    "retry": Retry(NoBackoff(), 0),  # the library's default waits for seconds
}
_LONGEST_PAUSE_SECONDS = 32.0
_MOST_WINDOWS = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hits:
    """How often a key was hit in its window so far, this hit included, and when the window ends (Unix time)."""

    count: int
    resets_at: float


class HitCounter:
    """Fixed windows: the first hit opens one, and it lasts as long as the limit says."""

    def __init__(self, limiter: Limiter, clock: Callable[[], float] = time.time) -> None:
        self._shared: Storage = limiter.storage
        self._own = MemoryStorage()
        self._clock = clock
        self._away_until = 0.0
        self._pause = 1.0
        self._ends: dict[str, float] = {}

    def hit(self, limit: RateLimitItem, *key: str) -> Hits:
        """Count one. Never raises for the storage: what cannot be counted for all is counted for this worker."""
        name = limit.key_for(*key)
        if self._clock() >= self._away_until:
            try:
                hits = self._count(self._shared, limit, name)
            except self._shared.base_exceptions:
                self._give_up()
            else:
                self._resume()
                return hits
        metrics.RATE_LIMIT_FALLBACKS.inc()
        return self._count(self._own, limit, name)

    def _count(self, storage: Storage, limit: RateLimitItem, name: str) -> Hits:
        count = storage.incr(name, limit.get_expiry())
        return Hits(count, self._end(storage, limit, name, count))

    def _end(self, storage: Storage, limit: RateLimitItem, name: str, count: int) -> float:
        """Asked for once a window; the storage is a round trip away."""
        now = self._clock()
        known = self._ends.get(name, 0.0)
        if count > 1 and known > now:
            return known
        if len(self._ends) >= _MOST_WINDOWS:
            self._ends.clear()
        end = now + limit.get_expiry() if count == 1 else storage.get_expiry(name)
        self._ends[name] = end
        return end

    def _give_up(self) -> None:
        if self._pause == 1.0:
            _log.warning("the limits' storage is away or slow: each worker counts for itself", exc_info=True)
        self._away_until = self._clock() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)

    def _resume(self) -> None:
        if self._pause > 1.0:
            _log.info("the limits' storage is back")
            self._pause = 1.0
