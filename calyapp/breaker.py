"""When to leave something alone that failed, and when to ask it again. Knows not what it is.

Closed, everybody asks. After so many failures in a row it opens, and nobody does: for a pause, then for one at a time
(half-open), the pause doubling with each failure, until one succeeds.
"""

import threading
import time
from collections.abc import Callable


class Breaker:
    """What the threads of a worker know of it. An attempt is named by the number of openings before it."""

    def __init__(
        self,
        *,
        failures: int,
        pause: float,
        max_pause: float,
        on_change: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The pauses in seconds; `on_change` hears whether it is open now, on the thread that saw it."""
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
        """Whether it is left alone, apart from trials."""
        return self._is_open

    def may_try(self) -> int | None:
        """An attempt for `failed` or `succeeded`; None while the pause lasts or another thread tries."""
        with self._lock:
            if self._is_open:
                now = self._clock()
                if now < self._until:
                    return None
                self._until = now + self._pause
            return self._openings

    def failed(self, attempt: int) -> None:
        """Those that began before it opened say nothing new, and do not lengthen the pause."""
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
        """An answer that was on its way when others failed is no sign of recovery."""
        with self._lock:
            if attempt != self._openings:
                return
            closes = self._is_open
            self._is_open = False
            self._in_a_row = 0
        if closes:
            self._on_change(False)
