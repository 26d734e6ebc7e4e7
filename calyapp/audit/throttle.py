"""Entries that can be provoked at will: the first at once, then one an interval for each kind, with a count.

Counted in each process; what waits for its interval to end is written by `flush`, which a timer calls.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.db.engine import Pool
from calyapp.errors import DatabaseError

INTERVAL_SECONDS = 1.0
_MAX_KINDS = 1_000  # a crowd of sources costs neither memory nor the database more than this
_log = logging.getLogger(__name__)

Kind = tuple[str, ...]


@dataclass(slots=True)
class _Window:
    opened_at: float
    waiting: int = 0
    latest: Entry | None = None

    def add(self, entry: Entry, count: int = 1) -> None:
        self.waiting += count
        self.latest = entry


class ThrottledAuditLog:
    """Appends to the trail, at most one entry an interval (in seconds) for each kind."""

    def __init__(
        self, pool: Pool, clock: Callable[[], float] = time.monotonic, *, interval: float = INTERVAL_SECONDS
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._interval = interval
        self._windows: dict[Kind, _Window] = {}
        self._lock = threading.Lock()

    def record(self, kind: Kind, entry: Entry, *, later: bool = False) -> bool:
        """Write the entry now, or count it towards the next one of its kind. Never raises for the database.

        True for the first that waits of its kind: what else is to be told once an interval goes with it.
        `later` is for those who do not wait for the database: they know that it is away, or have no time.
        """
        with self._lock:
            if kind not in self._windows and len(self._windows) >= _MAX_KINDS:
                # Still apart for each client: whoever asks for one client's entries is to find its occurrences alone.
                kind = (kind[0], "many sources", str(entry.client_id))
            is_first = kind not in self._windows
            window = self._windows.setdefault(kind, _Window(self._clock()))
            waits = later or not is_first
            is_first_to_wait = waits and not window.waiting
            if waits:
                window.add(entry)
        if not waits and not self._write(kind, entry, 1):
            _warn({entry.event_type: 1})
        return is_first_to_wait

    def flush(self) -> None:
        """Write what waited out its interval, and forget the kinds that have been quiet."""
        with self._lock:
            now = self._clock()
            due = {kind: window for kind, window in self._windows.items() if now - window.opened_at >= self._interval}
            for kind, window in due.items():
                if window.waiting:
                    self._windows[kind] = _Window(now)
                else:
                    del self._windows[kind]
        self._write_waiting(due)

    def close(self) -> None:
        """Write all that waits, its interval over or not."""
        with self._lock:
            windows, self._windows = self._windows, {}
        self._write_waiting(windows)

    def _write_waiting(self, windows: Mapping[Kind, _Window]) -> None:
        kept: Counter[EventType] = Counter()
        for kind, window in windows.items():
            if window.latest and not self._write(kind, window.latest, window.waiting):
                kept[window.latest.event_type] += window.waiting
        _warn(kept)

    def _write(self, kind: Kind, entry: Entry, count: int) -> bool:
        """Whether it could be written; if not, it waits again."""
        try:
            audit_log.write(self._pool, replace(entry, metadata={**entry.metadata, "count": count}))
        except DatabaseError:
            with self._lock:
                self._windows.setdefault(kind, _Window(self._clock())).add(entry, count)
            return False
        return True


def _warn(kept: Mapping[EventType, int]) -> None:
    """One line an event, not one a source: a crowd of sources is not to fill the log while the database is away."""
    for event, count in kept.items():
        fields = {"event": event.value, "count": count}
        _log.warning("audit entries could not be written and are kept for later", extra={"fields": fields})
