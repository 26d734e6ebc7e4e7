"""Replays the spool once the database is back: oldest first, clients in turn, and no delivery blocks another.

One process of each host replays at a time: the one that holds the lock on a file. If it dies, another continues. What
was already recorded is a repeat.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

from calyapp import clock, file_lock, metrics
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.calls import arrival_time, frame
from calyapp.calls.degraded_mode import DegradedMode
from calyapp.calls.event import CallEvent
from calyapp.calls.frame import UnreadableFrameError
from calyapp.calls.recorder import Recorder
from calyapp.clients.directory import CLIENT_DISABLED_MESSAGE, Directory
from calyapp.clients.keys import Claim
from calyapp.db.engine import Pool
from calyapp.errors import DatabaseAway, DatabaseError, DatabaseRejected, NotFoundError
from calyapp.file_lock import LockHeldError
from calyapp.spool.journal import Journal, Lane, ReadyFrame, SpoolError

_BATCH_PER_CLIENT = 32  # so many of each client are recorded again, as repeats, if the process dies
_DEFERRED_BATCH = 4  # of each client; small, because requests in the same process wait meanwhile
_THREADS = 4  # concurrent commits share the syncs of the database
_POSTPONED_SECONDS = 5.0
# The pause after a batch of deferred deliveries, as a multiple of its duration: other traffic comes first.
_DEFERRED_PAUSE_FACTOR = 4.0
_REPORT_SECONDS = 60.0
_REPORT = "replayed"
_log = logging.getLogger(__name__)


class AlreadyReplayingError(Exception):
    """Another process of this host is replaying."""


class Replay:
    """Replays the journal of this host."""

    def __init__(
        self,
        journal: Journal,
        recorder: Recorder,
        directory: Directory,
        pool: Pool,
        degraded_mode: DegradedMode,
        lock: Path,
    ) -> None:
        self._journal = journal
        self._recorder = recorder
        self._directory = directory
        self._pool = pool
        self._degraded_mode = degraded_mode
        self._lock = lock
        self._stopping = threading.Event()
        self._reported_at = time.monotonic()

    def run_if_needed(self) -> None:
        """Replays what waits, unless the database is away or another process replays. For a background task."""
        try:
            if not self._pool.is_away and self._has_work():
                for _ in self.run():
                    pass
        except (AlreadyReplayingError, SpoolError):
            return  # the health check reports a spool that cannot be read

    def run(self) -> Iterator[int]:
        """Replays what waits, and yields after each batch how many deliveries were recorded or quarantined.

        Ends early if the database goes away. Raises `AlreadyReplayingError` and `SpoolError`.
        """
        with self._elected():
            try:
                self._degraded_mode.report(self._pool)
                yield from self._drain()
                self._report()
            except DatabaseAway:
                _log.warning("the replay pauses: the database is away")

    def stop(self) -> None:
        """Ends a run after the deliveries that are being recorded. No other run records any."""
        self._stopping.set()

    def _drain(self) -> Iterator[int]:
        with ThreadPoolExecutor(_THREADS, "replay") as executor:
            while not self._stopping.is_set():
                if frames := self._journal.ready(Lane.AWAY, _BATCH_PER_CLIENT):
                    finished = self._replay_batch(frames, executor)
                elif frames := self._journal.ready(Lane.DEFERRED, _DEFERRED_BATCH):
                    began = time.monotonic()
                    finished = self._replay_batch(frames, executor)
                    self._stopping.wait((time.monotonic() - began) * _DEFERRED_PAUSE_FACTOR)
                else:
                    return
                if finished == 0:
                    return  # none can be recorded now, so the cause is not in these deliveries
                yield finished
                if time.monotonic() - self._reported_at >= _REPORT_SECONDS:
                    self._report()  # a client that stays over its limit keeps this loop running

    def _replay_batch(self, frames: Sequence[ReadyFrame], executor: ThreadPoolExecutor) -> int:
        """Returns how many frames were recorded or quarantined. Raises `DatabaseAway`, after it has removed those."""
        recorded: list[int] = []
        rejected: list[tuple[ReadyFrame, str]] = []
        unowned: list[tuple[ReadyFrame, str]] = []
        away: DatabaseAway | None = None
        for ready, failure in zip(frames, executor.map(self._failure, frames), strict=True):
            if failure is None:
                recorded.append(ready.id)
            elif isinstance(failure, NotFoundError):
                unowned.append((ready, str(failure)))
            elif reason := _reason_to_quarantine(failure):
                rejected.append((ready, reason))
            elif not isinstance(failure, _Stopped):
                # Perhaps only this delivery fails, for example because another transaction locks its call. Postponed,
                # it does not block the others.
                self._journal.postpone(ready.id, _POSTPONED_SECONDS)
                away = away or (failure if isinstance(failure, DatabaseAway) else None)
        # A delivery without a known client may belong to a call whose start is still on the spool. So it goes into
        # quarantine only if this batch recorded nothing and postponed nothing that could identify its client.
        if len(unowned) + len(rejected) == len(frames):
            rejected += unowned
        for ready, reason in rejected:
            self._quarantine(ready, reason)
        self._journal.remove_replayed(recorded)
        metrics.SPOOL_REPLAYED.labels("recorded").inc(len(recorded))
        if away:
            raise away
        return len(recorded) + len(rejected)

    def _failure(self, ready: ReadyFrame) -> Exception | None:
        """Records the delivery. Returns None, or why it was not recorded."""
        if self._stopping.is_set() or self._pool.is_away:
            return _Stopped()
        try:
            event = arrival_time.fix_arrival_time(frame.load(ready.content), clock.now())
            self._recorder.record(self._with_valid_key(event))
        except Exception as failure:
            return failure
        return None

    def _with_valid_key(self, event: CallEvent) -> CallEvent:
        """Returns the event. Raises `NotFoundError` if its key was retired, or if its client is disabled or deleted."""
        if event.key_version is None or event.client_id is None:
            return event
        if self._directory.authenticate(Claim(event.client_id, event.key_version)) is None:
            is_disabled = self._directory.is_disabled(event.client_id)
            raise NotFoundError(
                CLIENT_DISABLED_MESSAGE if is_disabled else "The webhook key was retired, or its client does not exist"
            )
        return event

    def _quarantine(self, ready: ReadyFrame, reason: str) -> None:
        self._journal.quarantine(ready.id, reason)
        metrics.SPOOL_REPLAYED.labels("quarantined").inc()
        _log.error("a delivery on the spool was put into quarantine: %s", reason)

    def _has_work(self) -> bool:
        has_counts = any(self._journal.notes.counts().values())
        return self._journal.has_ready() or has_counts or self._degraded_mode.has_unreported()

    def _report(self) -> None:
        """Writes to the audit log how many frames were replayed and quarantined since the last report.

        Each frame is reported once, wherever the process dies. The note fixes the id and the counts of the entry before
        it is written: a repeated report writes the same entry, which changes nothing. Then `settle` subtracts these
        counts and removes the note in one transaction.
        """
        self._reported_at = time.monotonic()
        notes = self._journal.notes
        counts = {name: count for name, count in notes.counts().items() if count}
        if (note := notes.get(_REPORT)) and _read_report(note) is None:
            notes.remove(
                _REPORT
            )  # it would stop every report; its counts are not settled yet, so the next report has them
        if counts or notes.get(_REPORT):
            now = clock.now()
            notes.add(_REPORT, json.dumps([str(clock.uuid7(now)), now.isoformat(), counts]))
            if report := _read_report(notes.get(_REPORT) or ""):
                audit_log.write(self._pool, _replayed(*report))
                notes.settle(report[2], note=_REPORT)

    @contextmanager
    def _elected(self) -> Iterator[None]:
        self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with file_lock.exclusive(self._lock):
                yield
        except LockHeldError:
            raise AlreadyReplayingError from None


def _read_report(note: str) -> tuple[UUID, datetime, dict[str, int]] | None:
    """Returns None if the note is damaged, or if its moment is implausible and may have no partition."""
    try:
        identity, moment, counts = json.loads(note)
        report = UUID(identity), datetime.fromisoformat(moment), {str(name): int(counts[name]) for name in counts}
        return report if arrival_time.is_plausible(report[1], clock.now()) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _replayed(identity: UUID, moment: datetime, counts: dict[str, int]) -> Entry:
    return Entry(
        id=identity,
        created_at=moment,
        event_type=EventType.SPOOL_REPLAYED,
        description="Deliveries replayed from the spool",
        resource="spool",
        metadata=counts,
    )


class _Stopped(Exception):  # noqa: N818 — the end of a run, not an error
    """The delivery was not tried."""


def _reason_to_quarantine(failure: Exception) -> str | None:
    """Returns why the delivery can never be recorded as it is, or None if it may be recorded later."""
    if isinstance(failure, DatabaseRejected):
        return failure.reason
    if isinstance(failure, UnreadableFrameError):
        return str(failure)
    if isinstance(failure, DatabaseAway | _Stopped):
        return None
    if isinstance(failure, DatabaseError):
        # No traceback: it is the same for each delivery, and the log may share a disk with the spool.
        _log.critical("a delivery on the spool cannot be recorded yet: %s", type(failure.__cause__).__name__)
        return None
    # A bug that one delivery triggers must not hold up the others.
    _log.critical("a delivery on the spool cannot be replayed", exc_info=failure)
    return f"unexpected {type(failure).__name__}"
