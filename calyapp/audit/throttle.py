"""Throttles audit entries that any sender can cause: it writes the first of a kind at once, then one per interval.

Each process counts for itself. `flush`, called by a timer, writes what waits for the end of its interval.
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
_MAX_KINDS = 1_000  # bounds the memory and the writes that many senders can cause
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
    """Appends to the audit log, at most one entry of each kind per interval (seconds)."""

    def __init__(
        self, pool: Pool, clock: Callable[[], float] = time.monotonic, *, interval: float = INTERVAL_SECONDS
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._interval = interval
        self._windows: dict[Kind, _Window] = {}
        self._lock = threading.Lock()

    def record(self, kind: Kind, entry: Entry, *, later: bool = False) -> bool:
        """Writes the entry now, or counts it towards the next of its kind. Never raises for the database.

        Returns True for the first entry of a kind that waits: do then what else is to be done once per interval. With
        `later` the entry always waits, for callers that know that the database is unavailable or cannot wait for it.
        """
        with self._lock:
            if kind not in self._windows and len(self._windows) >= _MAX_KINDS:
                # The client stays part of the kind: the entries of a client must count its own occurrences only.
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
        """Writes the entries whose interval is over, and forgets kinds without new entries."""
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
        """Writes all waiting entries, whether or not their interval is over."""
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
        """Returns whether the entry was written. If not, it waits again."""
        try:
            audit_log.write(self._pool, replace(entry, metadata={**entry.metadata, "count": count}))
        except DatabaseError:
            with self._lock:
                self._windows.setdefault(kind, _Window(self._clock())).add(entry, count)
            return False
        return True


def _warn(kept: Mapping[EventType, int]) -> None:
    """Logs one line for each event type, so that many senders cannot fill the log while the database is unavailable."""
    for event, count in kept.items():
        fields = {"event": event.value, "count": count}
        _log.warning("audit entries could not be written and are kept for later", extra={"fields": fields})
