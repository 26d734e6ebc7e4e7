"""A circuit breaker: stops calls to a service that fails, and tries again after a pause. Does not know the service.

Closed, all callers try. After a number of failures in a row it opens, and no caller tries until the pause is over. Then
one caller at a time tries (half-open). Each failure doubles the pause; a success closes the breaker.
"""

import threading
import time
from collections.abc import Callable


class Breaker:
    """The breaker of one process, shared by its threads. An attempt is the number of openings before it."""

    def __init__(
        self,
        *,
        failures: int,
        pause: float,
        max_pause: float,
        on_change: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Pauses are in seconds. `on_change` gets whether the breaker is open, on the thread that changed it."""
        self._max_failures = failures
        self._first_pause = pause
        self._max_pause = max_pause
        self._on_change = on_change
        self._clock = clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._openings = 0
        self._pause = pause
        self._until = 0.0
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open or half-open."""
        return self._is_open

    def may_try(self) -> int | None:
        """Returns an attempt for `failed` or `succeeded`, or None during a pause or while another thread tries."""
        with self._lock:
            if self._is_open:
                now = self._clock()
                if now < self._until:
                    return None
                self._until = now + self._pause
            return self._openings

    def failed(self, attempt: int) -> None:
        """Records a failure. One that began before the breaker opened says nothing new, and is ignored."""
        with self._lock:
            if attempt != self._openings:
                return
            self._in_a_row += 1
            if self._in_a_row < self._max_failures:
                return
            opens = not self._is_open
            self._pause = self._first_pause if opens else min(self._pause * 2, self._max_pause)
            self._is_open = True
            self._openings += 1
            self._until = self._clock() + self._pause
        if opens:
            self._on_change(True)

    def succeeded(self, attempt: int) -> None:
        """Records a success. One that began before the breaker opened is no sign of recovery, and is ignored."""
        with self._lock:
            if attempt != self._openings:
                return
            closes = self._is_open
            self._is_open = False
            self._in_a_row = 0
        if closes:
            self._on_change(False)
