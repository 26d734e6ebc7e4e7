"""The durable queue for deliveries while PostgreSQL cannot take them: bytes in, bytes out, one journal for each host.

All worker processes and threads share it. Knows nothing of calls, HTTP or PostgreSQL.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain, zip_longest
from pathlib import Path
from uuid import UUID

from calyapp.spool import rows
from calyapp.spool.files import RESERVE_BYTES
from calyapp.spool.notes import Notes, count
from calyapp.spool.rows import PAGE_BYTES, FrameRow
from calyapp.spool.transactions import MAX_WAL_BYTES, SpoolError, Transactions

__all__ = ["Journal", "JournalStatus", "Lane", "QuarantinedFrame", "ReadyFrame", "SpoolError"]

MIN_BYTES = 16 * 1024 * 1024
MAX_FRAME_BYTES = 1536 * 1024
_ORDINARY_FRAME_BYTES = 64 * 1024
# SQLite copies the -wal file into the main file at 1 MB. The largest frame, and the largest transaction of
# `remove_replayed`, may come on top.
_WAL_ALLOWANCE_BYTES = 4 * 1024 * 1024
_REMOVED_AT_ONCE = 100
_MAX_READY_BYTES = 4 * 1024 * 1024
_MAX_POSTPONEMENT_SECONDS = 3600.0  # a longer postponement was made by a clock that ran ahead
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# These repeat the conditions of the partial indexes in `rows`.
_READY = "reason IS NULL AND not_before = 0"
_POSTPONED = "reason IS NULL AND not_before > 0"


class Lane(StrEnum):
    """Why a frame waits: the database is away, or its client is over its rate limit."""

    AWAY = "away"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class ReadyFrame:
    """A frame that may be replayed now."""

    id: int
    content: bytes


@dataclass(frozen=True, slots=True)
class QuarantinedFrame:
    """A frame in quarantine, and the reason."""

    id: int
    client_id: UUID | None
    arrived_at: datetime
    reason: str
    content: bytes


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """How much the journal holds.

    `depth` counts the waiting frames of both lanes, `deferred` those of the deferred lane. `oldest_at` has the oldest
    arrival in each lane that is not empty. `bytes` is the size on disk, with the reserve. `damaged_files` counts the
    damaged journals that were set aside.
    """

    depth: int
    deferred: int
    oldest_at: Mapping[Lane, datetime]
    quarantined: int
    bytes: int
    damaged_files: int

    def oldest_seconds(self, now: datetime, *lanes: Lane) -> float:
        """Returns how long the oldest frame of these lanes (default: all) has waited; 0 if none waits."""
        oldest = min((self.oldest_at[lane] for lane in lanes or Lane if lane in self.oldest_at), default=now)
        return max(0.0, (now - oldest).total_seconds())


class Journal:
    """A queue of frames in a folder on a local disk. Keeps the folder below `max_bytes` (at least `MIN_BYTES`).

    Opens the file when it is first needed. Every method except `has_room` raises `SpoolError` if the folder or the file
    cannot be used. `notes` holds notes and counts in the same file.
    """

    def __init__(self, folder: Path, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self.max_bytes = max(max_bytes, MIN_BYTES)
        self._max_pages = (self.max_bytes - _WAL_ALLOWANCE_BYTES - RESERVE_BYTES) // PAGE_BYTES
        self._clock = clock
        self._transactions = Transactions(folder, self._max_pages, clock)
        self._run = self._transactions.run
        self.notes = Notes(self._transactions)

    def append(
        self, content: bytes, *, client_id: UUID | None, lane: Lane, arrived_at: datetime, reason: str | None = None
    ) -> None:
        """Stores a frame. It is on disk when this returns. With a `reason` it goes into quarantine.

        Raises `SpoolError`, and stores nothing, if there is no room. Frames that may be refused get half of the
        capacity: deferred frames, frames without a client, and frames for quarantine. So neither one client's flood nor
        deliveries of unknown origin take the room that an outage needs.
        """
        client, microseconds = str(client_id or ""), (arrived_at - _EPOCH) // timedelta(microseconds=1)

        def work(db: sqlite3.Connection) -> None:
            self._check_room(db, len(content), may_be_refused=lane is Lane.DEFERRED or not client or reason is not None)
            id = rows.last_id(db) + 1
            checksum = rows.checksum(id, lane, client, microseconds, content)
            rows.insert(db, [FrameRow(id, lane, client, microseconds, checksum, 0, reason, content)])
            if reason is not None:
                count(db, "quarantined", 1)

        self._run(work, frees_space=False)

    def has_ready(self) -> bool:
        """Whether any frame may be replayed now. Reads only the indexes."""

        def work(db: sqlite3.Connection) -> bool:
            self._end_postponements(db)
            return db.execute(f"SELECT 1 FROM frames WHERE {_READY} LIMIT 1").fetchone() is not None  # noqa: S608 — constants only

        return self._run(work)

    def ready(self, lane: Lane, per_client: int) -> list[ReadyFrame]:
        """Returns the oldest `per_client` ready frames of every client, clients in turn.

        Frames without a client count as one client. Ends at 4 MB, because appends wait while this reads. Damaged frames
        go into quarantine instead.
        """

        def work(db: sqlite3.Connection) -> list[ReadyFrame]:
            self._end_postponements(db)
            turns = zip_longest(*[_oldest_ids(db, lane, client, per_client) for client in _ready_clients(db, lane)])
            ids = (id for id in chain.from_iterable(turns) if id is not None)
            return [ReadyFrame(row.id, row.content) for row in _bounded(rows.read(db, ids)) if _check_intact(db, row)]

        return self._run(work)

    def remove_replayed(self, ids: Sequence[int]) -> None:
        """Removes these frames, and counts them as replayed."""
        for start in range(0, len(ids), _REMOVED_AT_ONCE):  # bounds the size of each transaction
            self._run(lambda db, batch=ids[start : start + _REMOVED_AT_ONCE]: _remove_replayed(db, batch))  # type: ignore[misc]
        # The file keeps its size when frames are removed. On a disk that it filled there would never be room again.
        if ids and self._transactions.folder.free_bytes() < MAX_FRAME_BYTES + RESERVE_BYTES and self._run(_is_drained):
            self._transactions.shrink()

    def quarantine(self, id: int, reason: str) -> None:
        """Puts a waiting frame into quarantine, for this reason."""
        self._run(lambda db: _quarantine(db, id, reason))

    def postpone(self, id: int, seconds: float) -> None:
        """Makes a frame ready again only after so many seconds, at most an hour."""
        until = self._clock() + seconds
        self._run(lambda db: db.execute("UPDATE frames SET not_before = ? WHERE id = ?", (until, id)))

    def quarantined(self) -> list[QuarantinedFrame]:
        """Returns all frames in quarantine, oldest first."""
        query = f"SELECT {rows.COLUMNS} FROM frames WHERE reason IS NOT NULL ORDER BY arrived_at, id"  # noqa: S608 — constants only
        return self._run(lambda db: [_quarantined_frame(FrameRow(*row)) for row in db.execute(query)])

    def retry(self, id: int) -> bool:
        """Makes a frame in quarantine ready again. Returns False if there is no such frame in quarantine."""
        statement = "UPDATE frames SET reason = NULL, not_before = 0 WHERE id = ? AND reason IS NOT NULL"
        return self._run(lambda db: db.execute(statement, (id,)).rowcount > 0)

    def drop(self, id: int) -> bool:
        """Deletes a frame in quarantine. Returns False if there is no such frame in quarantine."""
        statement = "DELETE FROM frames WHERE id = ? AND reason IS NOT NULL"
        return self._run(lambda db: db.execute(statement, (id,)).rowcount > 0)

    def status(self) -> JournalStatus:
        """Returns how much waits, and since when."""
        return self._run(self._status)

    def has_room(self) -> bool:
        """Whether `append` would accept a frame of the lane AWAY now. Returns False on every `SpoolError`."""
        try:
            self._run(lambda db: self._check_room(db, _ORDINARY_FRAME_BYTES, may_be_refused=False), frees_space=False)
        except SpoolError:
            return False
        return True

    def close(self) -> None:
        """Closes the file. The next use opens it again."""
        self._transactions.close()

    def _check_room(self, db: sqlite3.Connection, size: int, *, may_be_refused: bool) -> None:
        """Raises `SpoolError` if a frame of this size does not fit.

        Invariant: what is needed to remove frames stays free. The reserve exists before each append, and the last
        sixteenth of the pages is for what removing and quarantining write (reasons, index pages). A journal without
        that room could never be emptied again.
        """
        if size > MAX_FRAME_BYTES:
            raise SpoolError("The frame is larger than the spool accepts.")
        try:
            self._transactions.folder.make_reserve()
        except OSError:
            raise SpoolError("The disk of the spool is full.") from None
        if self._transactions.folder.free_bytes() < MAX_FRAME_BYTES or self._transactions.wal_bytes() > MAX_WAL_BYTES:
            raise SpoolError("The disk of the spool is full.")
        used_pages = rows.pragma(db, "page_count") - rows.pragma(db, "freelist_count") + size // PAGE_BYTES
        share = 2 if may_be_refused else 16 / 15
        if used_pages * share > self._max_pages:
            raise SpoolError("The spool is full.")

    def _end_postponements(self, db: sqlite3.Connection) -> None:
        # Queries before it updates: so nothing is written, and nothing synced, while no postponement ends.
        now = self._clock()
        for comparison, moment in (("<= ?", now), ("> ?", now + _MAX_POSTPONEMENT_SECONDS)):
            due = f"{_POSTPONED} AND not_before {comparison}"
            if db.execute(f"SELECT 1 FROM frames WHERE {due} LIMIT 1", (moment,)).fetchone():  # noqa: S608 — constants only
                db.execute(f"UPDATE frames SET not_before = 0 WHERE {due}", (moment,))  # noqa: S608 — constants only

    def _status(self, db: sqlite3.Connection) -> JournalStatus:
        depth, deferred, oldest = 0, 0, dict[Lane, datetime]()
        for state in (_READY, _POSTPONED):
            query = f"SELECT lane, count(*), min(arrived_at) FROM frames WHERE {state} GROUP BY lane"  # noqa: S608 — constants only
            for name, number, first in db.execute(query):
                lane = Lane.DEFERRED if name == Lane.DEFERRED else Lane.AWAY  # AWAY also if the name is damaged
                depth += number
                deferred += number if lane is Lane.DEFERRED else 0
                oldest[lane] = min(oldest.get(lane, _moment(first)), _moment(first))
        (quarantined,) = db.execute("SELECT count(*) FROM frames WHERE reason IS NOT NULL").fetchone()
        folder = self._transactions.folder
        return JournalStatus(depth, deferred, oldest, quarantined, folder.bytes(), folder.damaged_files())


def _is_drained(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM frames WHERE reason IS NULL LIMIT 1").fetchone() is None


def _ready_clients(db: sqlite3.Connection, lane: Lane) -> Iterator[str]:
    """Yields each client that has a ready frame.

    Jumps from client to client in the index `ready`, one look-up for each. SELECT DISTINCT would scan every frame of a
    client that floods.
    """
    query = f"SELECT client FROM frames WHERE {_READY} AND lane = ? AND client > ? ORDER BY client LIMIT 1"  # noqa: S608 — constants only
    row = db.execute(query.replace(">", ">="), (lane, "")).fetchone()
    while row:
        yield row[0]
        row = db.execute(query, (lane, row[0])).fetchone()


def _oldest_ids(db: sqlite3.Connection, lane: Lane, client: str, limit: int) -> list[int]:
    query = f"SELECT id FROM frames WHERE {_READY} AND lane = ? AND client = ? ORDER BY id LIMIT ?"  # noqa: S608 — constants only
    return [id for (id,) in db.execute(query, (lane, client, limit))]


def _bounded(frames: Iterable[FrameRow]) -> Iterator[FrameRow]:
    """Yields rows up to and including the one that reaches `_MAX_READY_BYTES`."""
    size = 0
    for row in frames:
        yield row
        size += len(row.content or b"")  # None if damaged
        if size >= _MAX_READY_BYTES:
            return


def _check_intact(db: sqlite3.Connection, row: FrameRow) -> bool:
    """Returns whether the row is intact. Puts it into quarantine if not."""
    if not row.is_intact:
        _quarantine(db, row.id, "damaged on disk: its checksum does not match")
    return row.is_intact


def _quarantine(db: sqlite3.Connection, id: int, reason: str) -> None:
    changed = db.execute("UPDATE frames SET reason = ? WHERE id = ? AND reason IS NULL", (reason, id))
    count(db, "quarantined", changed.rowcount)


def _remove_replayed(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    removed = db.executemany("DELETE FROM frames WHERE id = ?", [(id,) for id in ids])
    count(db, "replayed", removed.rowcount)


def _quarantined_frame(row: FrameRow) -> QuarantinedFrame:
    return QuarantinedFrame(row.id, _client_id(row.client), _moment(row.arrived_at), row.reason or "", row.content)


def _client_id(client: str) -> UUID | None:
    try:
        return UUID(client)
    except ValueError:  # unknown, or damaged
        return None


def _moment(microseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # damaged
        return _EPOCH
