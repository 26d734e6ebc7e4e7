"""From the spool onto the record, once the database is back: oldest first, every client in turn, nobody blocking.

On each host one process at a time does it, whoever holds the lock on a file. Wherever it dies, another goes on; what
was recorded already is a repeat.
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

_BATCH_PER_CLIENT = 32  # of each client: as many are recorded again, as repeats, if the process dies
_DEFERRED_BATCH = 4  # of what came over a limit, so that whoever shares the process waits for a few at most
_THREADS = 4  # that record at the same time: they share the database's waits for its disk
_POSTPONED_SECONDS = 5.0
# The pause after a batch of deferred deliveries, in times of what the batch took: other traffic comes first.
_DEFERRED_PAUSE_FACTOR = 4.0
_REPORT_SECONDS = 60.0
_REPORT = "replayed"
_log = logging.getLogger(__name__)


class AlreadyReplayingError(Exception):
    """Another process of this host is at it."""


class Replay:
    """Drains the journal of this host."""

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
        self._told_at = time.monotonic()

    def run_if_needed(self) -> None:
        """Replay all that waits, if there is any, the database takes it, and no other process is at it."""
        try:
            if not self._pool.is_away and self._has_work():
                for _ in self.run():
                    pass
        except (AlreadyReplayingError, SpoolError):
            return  # of a spool that cannot be read, its health check tells

    def run(self) -> Iterator[int]:
        """Replay all that waits, yielding how many deliveries were dealt with. Ends early if the database goes away.

        Raises `AlreadyReplayingError`.
        """
        with self._elected():
            try:
                self._degraded_mode.report(self._pool)
                yield from self._drain()
                self._tell()
            except DatabaseAway:
                _log.warning("the replay rests: the database is away")

    def stop(self) -> None:
        """Let a run end after the delivery that it is at, and begin no other."""
        self._stopping.set()

    def _drain(self) -> Iterator[int]:
        with ThreadPoolExecutor(_THREADS, "replay") as hands:
            while not self._stopping.is_set():
                if waiting := self._journal.ready(Lane.AWAY, _BATCH_PER_CLIENT):
                    dealt_with = self._replay(waiting, hands)
                elif waiting := self._journal.ready(Lane.DEFERRED, _DEFERRED_BATCH):
                    began = time.monotonic()
                    dealt_with = self._replay(waiting, hands)
                    self._stopping.wait((time.monotonic() - began) * _DEFERRED_PAUSE_FACTOR)
                else:
                    return
                if dealt_with == 0:
                    return  # none of these can be recorded yet: it is not for them alone
                yield dealt_with
                if time.monotonic() - self._told_at >= _REPORT_SECONDS:
                    self._tell()  # what keeps coming over a limit has no end

    def _replay(self, waiting: Sequence[ReadyFrame], hands: ThreadPoolExecutor) -> int:
        """How many are no longer waiting. Raises `DatabaseAway` once these are off the spool."""
        recorded: list[int] = []
        given_up: list[tuple[ReadyFrame, str]] = []
        unowned: list[tuple[ReadyFrame, str]] = []
        away: DatabaseAway | None = None
        for one, failure in zip(waiting, hands.map(self._failure, waiting), strict=True):
            if failure is None:
                recorded.append(one.id)
            elif isinstance(failure, NotFoundError):
                unowned.append((one, str(failure)))
            elif reason := _reason_to_give_up(failure):
                given_up.append((one, reason))
            elif not isinstance(failure, _Stopped):
                # It may be this one alone, whose call somebody holds: the others are not to wait behind it.
                self._journal.postpone(one.id, _POSTPONED_SECONDS)
                away = away or (failure if isinstance(failure, DatabaseAway) else None)
        if len(unowned) + len(given_up) == len(waiting):
            given_up += unowned  # else the call that tells whose they are may be among the rest
        for one, reason in given_up:
            self._quarantine(one, reason)
        self._journal.remove_replayed(recorded)
        metrics.SPOOL_REPLAYED.labels("recorded").inc(len(recorded))
        if away:
            raise away
        return len(recorded) + len(given_up)

    def _failure(self, one: ReadyFrame) -> Exception | None:
        """Why it is not on record; None if it is."""
        if self._stopping.is_set() or self._pool.is_away:
            return _Stopped()
        try:
            event = arrival_time.fix_arrival_time(frame.load(one.content), clock.now())
            self._recorder.record(self._confirmed(event))
        except Exception as failure:
            return failure
        return None

    def _confirmed(self, event: CallEvent) -> CallEvent:
        """Raises `NotFoundError` if the key that it came with is not valid, or its client is gone."""
        if event.key_version is None or event.client_id is None:
            return event
        if self._directory.authenticate(Claim(event.client_id, event.key_version)) is None:
            is_disabled = self._directory.is_disabled(event.client_id)
            raise NotFoundError(
                CLIENT_DISABLED_MESSAGE if is_disabled else "The webhook key was retired, or its client does not exist"
            )
        return event

    def _quarantine(self, one: ReadyFrame, reason: str) -> None:
        self._journal.quarantine(one.id, reason)
        metrics.SPOOL_REPLAYED.labels("quarantined").inc()
        _log.error("a delivery on the spool was put into quarantine: %s", reason)

    def _has_work(self) -> bool:
        has_counts = any(self._journal.notes.counts().values())
        return self._journal.has_ready() or has_counts or self._degraded_mode.has_unreported()

    def _tell(self) -> None:
        """Tell the trail how many were replayed since it was told last."""
        self._told_at = time.monotonic()
        counts = {name: count for name, count in self._journal.notes.counts().items() if count}
        if counts or self._journal.notes.get(_REPORT):
            # Remembered first: where the process dies over it, the next one tells the same, under the same id.
            now = clock.now()
            self._journal.notes.add(_REPORT, json.dumps([str(clock.uuid7(now)), now.isoformat(), counts]))
            identity, moment, told = json.loads(self._journal.notes.get(_REPORT) or "null")
            audit_log.write(self._pool, _replayed(UUID(identity), datetime.fromisoformat(moment), told))
            self._journal.notes.settle(told, note=_REPORT)

    @contextmanager
    def _elected(self) -> Iterator[None]:
        self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with file_lock.exclusive(self._lock):
                yield
        except LockHeldError:
            raise AlreadyReplayingError from None


def _replayed(identity: UUID, moment: datetime, counts: dict[str, int]) -> Entry:
    return Entry(
        id=identity,
        created_at=moment,
        event_type=EventType.SPOOL_REPLAYED,
        description="Deliveries replayed from the spool",
        resource="spool",
        metadata=counts,
    )


class _Stopped(Exception):  # noqa: N818 — no error, but the end of a run
    """It was not tried."""


def _reason_to_give_up(failure: Exception) -> str | None:
    """Why it can never be recorded as it is; None if it can be later."""
    if isinstance(failure, DatabaseRejected):
        return failure.reason
    if isinstance(failure, UnreadableFrameError):
        return str(failure)
    if isinstance(failure, DatabaseAway | _Stopped):
        return None
    if isinstance(failure, DatabaseError):
        # No traceback: it is the same for each delivery, and the log may share the spool's disk.
        _log.critical("a delivery on the spool cannot be recorded yet: %s", type(failure.__cause__).__name__)
        return None
    # A fault of ours in one delivery is no reason to keep the others.
    _log.critical("a delivery on the spool cannot be replayed", exc_info=failure)
    return f"unexpected {type(failure).__name__}"
