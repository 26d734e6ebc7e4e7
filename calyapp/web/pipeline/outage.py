"""When to ask a storage again that failed: after a second, then two, four … and by one thread at a time."""

import logging
import threading
from collections.abc import Callable

LONGEST_PAUSE_SECONDS = 32.0
_FIRST_PAUSE_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Outage:
    """What the threads of a worker know of it. An attempt is named by the number of failures before it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._pause = _FIRST_PAUSE_SECONDS
        self._until = 0.0
        self._is_on = False

    def may_try(self) -> int | None:
        """A number (above zero) for `failed` or `succeeded`; None while the pause lasts or another thread tries."""
        with self._lock:
            now = self._clock()
            if self._is_on:
                if now < self._until:
                    return None
                self._until = now + self._pause
            return self._failures + 1

    def failed(self, attempt: int) -> None:
        """Those that began together fail together, and count once."""
        with self._lock:
            if attempt <= self._failures:
                return
            self._failures += 1
            if not self._is_on:
                _log.warning("the limits' storage is away or slow: each worker counts for itself", exc_info=True)
            self._is_on = True
            self._until = self._clock() + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    def succeeded(self, attempt: int) -> None:
        """An answer that was on its way when others failed is no sign of recovery."""
        with self._lock:
            if self._is_on and attempt > self._failures:
                _log.info("the limits' storage is back")
                self._is_on = False
                self._pause = _FIRST_PAUSE_SECONDS
