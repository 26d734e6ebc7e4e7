"""What a journal's file looks like inside: tables, indexes, and the checksum that each frame carries.

Knows nothing of locks, limits or of what a frame means.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

PAGE = 4096
WRITE_BACK_AFTER = 256  # pages in the -wal file; each write-back costs two more fsyncs

# A frame waits while `reason` is null. `ready` lists those that may be offered, so that neither postponed nor
# quarantined ones are ever stepped over; all counting is done on the indexes, which are small, not on contents.
# Ids are never used again: a late done() must not meet another frame.
_SCHEMA = """
CREATE TABLE frames (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane TEXT NOT NULL,
    client TEXT NOT NULL,
    arrived_at INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    not_before REAL NOT NULL,
    reason TEXT,
    content BLOB NOT NULL
);
CREATE INDEX ready ON frames (lane, client, id, arrived_at) WHERE reason IS NULL AND not_before = 0;
CREATE INDEX postponed ON frames (not_before, lane, arrived_at) WHERE reason IS NULL AND not_before > 0;
CREATE INDEX quarantined ON frames (arrived_at) WHERE reason IS NOT NULL;
CREATE TABLE counts (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL);
"""

# The casts give values of the right type even where a damaged page holds another.
COLUMNS = (
    "id, CAST(lane AS TEXT), CAST(client AS TEXT), CAST(arrived_at AS INTEGER), CAST(checksum AS BLOB), "
    "CAST(not_before AS REAL), CAST(reason AS TEXT), CAST(content AS BLOB)"
)


class FrameRow(NamedTuple):
    """A frame as it is stored; `client` is empty without one, `arrived_at` counts microseconds since the epoch."""

    id: int
    lane: str
    client: str
    arrived_at: int
    checksum: bytes
    not_before: float
    reason: str | None
    content: bytes

    @property
    def intact(self) -> bool:
        """Whether nothing of it changed since it was appended, but for what may: `not_before` and `reason`."""
        return None not in (self.lane, self.client, self.arrived_at, self.content) and self.checksum == checksum(
            self.id, self.lane, self.client, self.arrived_at, self.content
        )


def checksum(frame: int, lane: str, client: str, arrived_at: int, content: bytes) -> bytes:
    """Over all that a frame keeps for good; the id too, or damage could let one frame pass for another."""
    head = f"{frame} {lane} {client} {arrived_at}\n".encode(errors="replace")
    return hashlib.blake2b(head + content, digest_size=16).digest()


def insert(db: sqlite3.Connection, rows: Iterable[FrameRow]) -> int:
    """Store these; returns how many."""
    statement = (
        "INSERT OR IGNORE INTO frames (id, lane, client, arrived_at, checksum, not_before, reason, content)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    )
    return db.executemany(statement, rows).rowcount


def of(db: sqlite3.Connection, ids: Iterable[int]) -> Iterator[FrameRow]:
    """The rows of these ids, each read when it is asked for."""
    query = f"SELECT {COLUMNS} FROM frames WHERE id = ?"  # noqa: S608 — our words
    return (FrameRow(*row) for id in ids for row in db.execute(query, (id,)))


def last_id(db: sqlite3.Connection) -> int:
    """The greatest id ever given."""
    return int(db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'frames'").fetchone()[0])


def connect(path: Path) -> sqlite3.Connection:
    """Open an existing journal; what is committed on this connection is on disk."""
    db = sqlite3.connect(path.as_uri() + "?mode=rw", uri=True, isolation_level=None, check_same_thread=False)
    db.text_factory = lambda raw: raw.decode(errors="replace")
    try:
        for pragma in (
            "synchronous = FULL",
            "secure_delete = FAST",  # what a caller said is wiped where that costs no write
            f"wal_autocheckpoint = {WRITE_BACK_AFTER}",
            f"journal_size_limit = {WRITE_BACK_AFTER * PAGE}",
        ):
            db.execute(f"PRAGMA {pragma}")
    except BaseException:
        db.close()
        raise
    return db


def create(path: Path, start: int) -> None:
    """Make an empty journal whose ids come after `start`."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))  # -wal and -shm take their mode from it
    db = connect(path)
    try:
        for pragma in (f"page_size = {PAGE}", "auto_vacuum = NONE", "journal_mode = WAL"):
            db.execute(f"PRAGMA {pragma}")
        db.executescript(f"BEGIN; {_SCHEMA} COMMIT")
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('frames', ?)", (start,))
    finally:
        db.close()


def pragma(db: sqlite3.Connection, name: str) -> Any:
    """The value of a pragma."""
    return db.execute(f"PRAGMA {name}").fetchone()[0]
