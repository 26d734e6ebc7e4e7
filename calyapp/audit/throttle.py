"""Entries that a stranger can provoke at will: the first at once, then one a second for each kind, with a count.

Counted in each process; what waits for its second is written by `flush`, which a timer calls.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from calyapp.audit import trail
from calyapp.audit.trail import Entry
from calyapp.db.engine import Pool
from calyapp.errors import DatabaseError

INTERVAL_SECONDS = 1.0
_MOST_KINDS = 1_000  # a crowd of sources costs neither memory nor the database more than this
_log = logging.getLogger(__name__)

Kind = tuple[str, ...]


@dataclass(slots=True)
class _Window:
    opened_at: float
    waiting: int = 0
    latest: Entry | None = None


class ThrottledTrail:
    """Appends to the trail, at most one entry a second for each kind."""

    def __init__(self, pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._windows: dict[Kind, _Window] = {}
        self._lock = threading.Lock()

    def note(self, kind: Kind, entry: Entry) -> None:
        """Write the entry now, or count it towards the next one of its kind. Never raises for the database."""
        with self._lock:
            if kind not in self._windows and len(self._windows) >= _MOST_KINDS:
                kind = (kind[0], "many sources")
            window = self._windows.get(kind)
            if window is None:
                self._windows[kind] = _Window(self._clock())
            else:
                window.waiting += 1
                window.latest = entry
        if window is None:
            self._write(entry, 1)

    def flush(self) -> None:
        """Write what waited out its second, and forget the kinds that have been quiet."""
        with self._lock:
            now = self._clock()
            due = {kind: window for kind, window in self._windows.items() if now - window.opened_at >= INTERVAL_SECONDS}
            for kind, window in due.items():
                if window.waiting:
                    self._windows[kind] = _Window(now)
                else:
                    del self._windows[kind]
        self._write_waiting(due.values())

    def close(self) -> None:
        """Write all that waits, its second over or not."""
        with self._lock:
            windows, self._windows = self._windows, {}
        self._write_waiting(windows.values())

    def _write_waiting(self, windows: Iterable[_Window]) -> None:
        for window in windows:
            if window.latest:
                self._write(window.latest, window.waiting)

    def _write(self, entry: Entry, count: int) -> None:
        try:
            with self._pool.transaction() as connection:
                trail.append(connection, replace(entry, metadata={**entry.metadata, "count": count}))
        except DatabaseError:
            fields = {"event": entry.event_type.value, "count": count}
            _log.exception("an audit entry could not be written", extra={"fields": fields})
