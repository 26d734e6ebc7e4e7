"""The durable queue for deliveries while PostgreSQL cannot take them: bytes in, bytes out, one journal per host.

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
from calyapp.spool.files import RESERVE
from calyapp.spool.rows import PAGE, FrameRow
from calyapp.spool.transactions import WAL_REFUSED, SpoolError, Transactions

__all__ = ["Journal", "JournalStatus", "Lane", "QuarantinedFrame", "ReadyFrame", "SpoolError"]

MIN_BYTES = 16 * 1024 * 1024
MAX_FRAME_BYTES = 1536 * 1024
_ORDINARY_FRAME = 64 * 1024
# The -wal file is written back at 1 MB; the largest frame and the largest batch of done() may come on top.
_WAL_BYTES = 4 * 1024 * 1024
_BATCH = 100
_OFFERED_BYTES = 4 * 1024 * 1024
_MAX_POSTPONEMENT_SECONDS = 3600.0  # what is put off further was put off by a clock that ran ahead
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READY = "reason IS NULL AND not_before = 0"


class Lane(StrEnum):
    """Why a frame waits: the database is away, or its client is over its limit."""

    AWAY = "away"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class ReadyFrame:
    """A frame that may be tried now."""

    id: int
    content: bytes


@dataclass(frozen=True, slots=True)
class QuarantinedFrame:
    """A frame that is not tried any more, and why."""

    id: int
    client_id: UUID | None
    arrived_at: datetime
    reason: str
    content: bytes


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """Frames that wait in both lanes and in the deferred one, the oldest arrival in each lane that is not empty, frames
    in quarantine, bytes on disk, and damaged files lying in the folder."""

    depth: int
    deferred: int
    oldest_at: Mapping[Lane, datetime]
    quarantined: int
    bytes: int
    damaged_files: int

    def oldest_seconds(self, now: datetime, *lanes: Lane) -> float:
        """How long the oldest frame of these lanes, or of all, has waited; 0 if none waits."""
        oldest = min((self.oldest_at[lane] for lane in lanes or Lane if lane in self.oldest_at), default=now)
        return max(0.0, (now - oldest).total_seconds())


class Journal:
    """A queue in a folder on a local disk, which it keeps below `max_bytes` (at least LEAST_BYTES).

    Nothing is opened before it is needed. Every method raises SpoolError if the folder or the file cannot be used.
    """

    def __init__(self, folder: Path, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self.max_bytes = max(max_bytes, MIN_BYTES)
        self._pages = (self.max_bytes - _WAL_BYTES - RESERVE) // PAGE
        self._clock = clock
        self._transactions = Transactions(folder, self._pages, clock)
        self._run = self._transactions.run

    def append(
        self, content: bytes, *, client_id: UUID | None, lane: Lane, arrived_at: datetime, reason: str | None = None
    ) -> None:
        """Keep a frame; it is on disk when this returns. With a reason it goes straight into quarantine.

        Raises SpoolError, and keeps nothing, where that cannot be promised; already at half capacity for DEFERRED, for
        what no client is known of, and for what goes into quarantine: neither a client's flood nor a stranger's takes
        the room that an outage needs.
        """
        client, microseconds = str(client_id or ""), (arrived_at - _EPOCH) // timedelta(microseconds=1)

        def work(db: sqlite3.Connection) -> None:
            self._check_room(db, len(content), may_be_refused=lane is Lane.DEFERRED or not client or reason is not None)
            frame = rows.last_id(db) + 1
            checksum = rows.checksum(frame, lane, client, microseconds, content)
            rows.insert(db, [FrameRow(frame, lane, client, microseconds, checksum, 0, reason, content)])
            if reason is not None:
                _count(db, "quarantined", 1)

        self._run(work, frees=False)

    def has_ready(self) -> bool:
        """Whether a frame may be tried now, in any lane; read from the indexes alone."""

        def work(db: sqlite3.Connection) -> bool:
            self._end_postponements(db)
            return db.execute(f"SELECT 1 FROM frames WHERE {_READY} LIMIT 1").fetchone() is not None  # noqa: S608 — our words

        return self._run(work)

    def ready(self, lane: Lane, per_client: int) -> list[ReadyFrame]:
        """The oldest frames of every client, up to `each`, clients in turn; those without a client are one client.

        They end where they come to 4 MB: whoever wants to append waits meanwhile.
        """

        def work(db: sqlite3.Connection) -> list[ReadyFrame]:
            self._end_postponements(db)
            turns = zip_longest(*[_oldest(db, lane, client, per_client) for client in _clients(db, lane)])
            ids = (id for id in chain.from_iterable(turns) if id is not None)
            return [ReadyFrame(row.id, row.content) for row in _bounded(rows.of(db, ids)) if _is_sound(db, row)]

        return self._run(work)

    def remove_replayed(self, ids: Sequence[int]) -> None:
        """Forget these frames, and count them as replayed."""
        for start in range(0, len(ids), _BATCH):  # a bounded transaction each
            self._run(lambda db, batch=ids[start : start + _BATCH]: _replayed(db, batch))  # type: ignore[misc]
        # An emptied file keeps its size: on a disk that it filled there would never be room again.
        if ids and self._transactions.folder.free_bytes() < MAX_FRAME_BYTES + RESERVE and self._run(_nothing_waits):
            self._transactions.shrink()

    def quarantine(self, id: int, reason: str) -> None:
        """Do not offer this frame again, and say why."""
        self._run(lambda db: _quarantine(db, id, reason))

    def postpone(self, id: int, seconds: float) -> None:
        """Do not offer this frame for a while, an hour at most."""
        until = self._clock() + seconds
        self._run(lambda db: db.execute("UPDATE frames SET not_before = ? WHERE id = ?", (until, id)))

    def quarantined(self) -> list[QuarantinedFrame]:
        """All frames in quarantine, the oldest first."""
        query = f"SELECT {rows.COLUMNS} FROM frames WHERE reason IS NOT NULL ORDER BY arrived_at, id"  # noqa: S608 — our words
        return self._run(lambda db: [_as_quarantined(FrameRow(*row)) for row in db.execute(query)])

    def retry(self, id: int) -> bool:
        """Offer it again; False if there is no such frame in quarantine."""
        statement = "UPDATE frames SET reason = NULL, not_before = 0 WHERE id = ? AND reason IS NOT NULL"
        return self._run(lambda db: db.execute(statement, (id,)).rowcount > 0)

    def drop(self, id: int) -> bool:
        """Forget it; False if there is no such frame in quarantine."""
        statement = "DELETE FROM frames WHERE id = ? AND reason IS NOT NULL"
        return self._run(lambda db: db.execute(statement, (id,)).rowcount > 0)

    def counts(self) -> dict[str, int]:
        """Frames replayed and quarantined since last settled."""
        none = {"replayed": 0, "quarantined": 0}
        return self._run(lambda db: none | dict(db.execute("SELECT name, number FROM counts")))

    def settle(self, counts: Mapping[str, int], note: str) -> None:
        """Take off what was reported, and in the same step remove the note of that name."""

        def work(db: sqlite3.Connection) -> None:
            for name, number in counts.items():
                _count(db, name, -number)
            db.execute("DELETE FROM notes WHERE name = ?", (note,))

        self._run(work)

    def remember(self, name: str, text: str) -> None:
        """Keep a note, unless there is one of that name."""
        self._run(lambda db: db.execute("INSERT OR IGNORE INTO notes VALUES (?, ?)", (name, text)), frees=False)

    def recall(self, name: str) -> str | None:
        """The note of that name."""
        found = self._run(lambda db: db.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone())
        return None if found is None else str(found[0])

    def forget(self, name: str) -> None:
        """Remove the note of that name."""
        self._run(lambda db: db.execute("DELETE FROM notes WHERE name = ?", (name,)))

    def status(self) -> JournalStatus:
        """How much waits, and since when."""
        return self._run(self._status)

    def has_room(self) -> bool:
        """Whether a frame of the lane AWAY would be taken now."""
        try:
            self._run(lambda db: self._check_room(db, _ORDINARY_FRAME, may_be_refused=False), frees=False)
        except SpoolError:
            return False
        return True

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        self._transactions.close()

    def _check_room(self, db: sqlite3.Connection, size: int, *, may_be_refused: bool) -> None:
        """Raise SpoolError if a frame of that size cannot be taken: before what deleting needs is gone."""
        if size > MAX_FRAME_BYTES:
            raise SpoolError("The frame is larger than the spool takes.")
        try:
            self._transactions.folder.make_reserve()
        except OSError:
            raise SpoolError("The disk of the spool is full.") from None
        if self._transactions.folder.free_bytes() < MAX_FRAME_BYTES or self._transactions.wal_bytes() > WAL_REFUSED:
            raise SpoolError("The disk of the spool is full.")
        used = rows.pragma(db, "page_count") - rows.pragma(db, "freelist_count") + size // PAGE
        share = 2 if may_be_refused else 16 / 15  # the last sixteenth is for reasons and for indexes
        if used * share > self._pages:
            raise SpoolError("The spool is full.")

    def _end_postponements(self, db: sqlite3.Connection) -> None:
        # Two steps: so asking writes nothing while none is due.
        now = self._clock()
        for due, moment in (("<= ?", now), ("> ?", now + _MAX_POSTPONEMENT_SECONDS)):
            which = f"reason IS NULL AND not_before > 0 AND not_before {due}"
            if db.execute(f"SELECT 1 FROM frames WHERE {which} LIMIT 1", (moment,)).fetchone():  # noqa: S608 — our words
                db.execute(f"UPDATE frames SET not_before = 0 WHERE {which}", (moment,))  # noqa: S608 — our words

    def _status(self, db: sqlite3.Connection) -> JournalStatus:
        depth, deferred, oldest = 0, 0, dict[Lane, datetime]()
        for ready in (_READY, "reason IS NULL AND not_before > 0"):
            query = f"SELECT lane, count(*), min(arrived_at) FROM frames WHERE {ready} GROUP BY lane"  # noqa: S608 — our words
            for name, count, first in db.execute(query):
                lane = Lane.DEFERRED if name == Lane.DEFERRED else Lane.AWAY  # also where the name is damaged
                depth += count
                deferred += count if lane is Lane.DEFERRED else 0
                oldest[lane] = min(oldest.get(lane, _moment(first)), _moment(first))
        (quarantined,) = db.execute("SELECT count(*) FROM frames WHERE reason IS NOT NULL").fetchone()
        return JournalStatus(
            depth,
            deferred,
            oldest,
            quarantined,
            self._transactions.folder.bytes(),
            self._transactions.folder.damaged_files(),
        )


def _nothing_waits(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM frames WHERE reason IS NULL LIMIT 1").fetchone() is None


def _clients(db: sqlite3.Connection, lane: Lane) -> Iterator[str]:
    """Every client with a frame that is ready, by one step in the index each: however many frames one has."""
    query = f"SELECT client FROM frames WHERE {_READY} AND lane = ? AND client > ? ORDER BY client LIMIT 1"  # noqa: S608 — our words
    found = db.execute(query.replace(">", ">="), (lane, "")).fetchone()
    while found:
        yield found[0]
        found = db.execute(query, (lane, found[0])).fetchone()


def _oldest(db: sqlite3.Connection, lane: Lane, client: str, most: int) -> list[int]:
    query = f"SELECT id FROM frames WHERE {_READY} AND lane = ? AND client = ? ORDER BY id LIMIT ?"  # noqa: S608 — our words
    return [id for (id,) in db.execute(query, (lane, client, most))]


def _bounded(found: Iterable[FrameRow]) -> Iterator[FrameRow]:
    """These, up to the one that makes them too much to hold at a time."""
    size = 0
    for row in found:
        yield row
        size += len(row.content or b"")  # none, if damaged
        if size >= _OFFERED_BYTES:
            return


def _is_sound(db: sqlite3.Connection, row: FrameRow) -> bool:
    if not row.intact:
        _quarantine(db, row.id, "damaged on disk: its checksum does not match")
    return row.intact


def _quarantine(db: sqlite3.Connection, id: int, reason: str) -> None:
    changed = db.execute("UPDATE frames SET reason = ? WHERE id = ? AND reason IS NULL", (reason, id))
    _count(db, "quarantined", changed.rowcount)


def _replayed(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    gone = db.executemany("DELETE FROM frames WHERE id = ?", [(id,) for id in ids])
    _count(db, "replayed", gone.rowcount)


def _count(db: sqlite3.Connection, name: str, number: int) -> None:
    statement = "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = number + excluded.number"
    db.execute(statement, (name, number))


def _as_quarantined(row: FrameRow) -> QuarantinedFrame:
    return QuarantinedFrame(row.id, _client_id(row.client), _moment(row.arrived_at), row.reason or "", row.content)


def _client_id(client: str) -> UUID | None:
    try:
        return UUID(client)
    except ValueError:  # none, or damaged
        return None


def _moment(microseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # damaged
        return _EPOCH
