"""The layout of a journal's file: tables, indexes, and the checksum of each frame.

Knows nothing of locks, limits or the meaning of a frame.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

PAGE_BYTES = 4096
CHECKPOINT_PAGES = 256  # size of the -wal file at which SQLite copies it into the main file; costs two more fsyncs

# A frame waits while `reason` is null, and is in quarantine otherwise. Each of the three states (ready, postponed,
# quarantined) has its own partial index. So finding ready frames never scans past postponed or quarantined ones,
# however many there are, and counts read the small indexes instead of the contents. The conditions of queries must
# repeat those of the indexes literally, or SQLite does not use them.
# AUTOINCREMENT: an id is never used again. A worker that removes a frame late must not remove a newer one.
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

# The casts return the right type even if a damaged page holds a value of another type.
COLUMNS = (
    "id, CAST(lane AS TEXT), CAST(client AS TEXT), CAST(arrived_at AS INTEGER), CAST(checksum AS BLOB), "
    "CAST(not_before AS REAL), CAST(reason AS TEXT), CAST(content AS BLOB)"
)


class FrameRow(NamedTuple):
    """A frame as it is stored. `client` is empty if unknown; `arrived_at` is in microseconds since the epoch."""

    id: int
    lane: str
    client: str
    arrived_at: int
    checksum: bytes
    not_before: float
    reason: str | None
    content: bytes

    @property
    def is_intact(self) -> bool:
        """Whether the frame is as it was appended. `not_before` and `reason` may change and are not covered."""
        return None not in (self.lane, self.client, self.arrived_at, self.content) and self.checksum == checksum(
            self.id, self.lane, self.client, self.arrived_at, self.content
        )


def checksum(id: int, lane: str, client: str, arrived_at: int, content: bytes) -> bytes:
    """Returns the checksum over everything constant in a frame (16 bytes).

    Includes the id: otherwise damage could make one frame pass for another.
    """
    head = f"{id} {lane} {client} {arrived_at}\n".encode(errors="replace")
    return hashlib.blake2b(head + content, digest_size=16).digest()


def insert(db: sqlite3.Connection, rows: Iterable[FrameRow]) -> int:
    """Inserts the rows, and skips ids that exist. Returns the number inserted."""
    statement = (
        "INSERT OR IGNORE INTO frames (id, lane, client, arrived_at, checksum, not_before, reason, content)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    )
    return db.executemany(statement, rows).rowcount


def read(db: sqlite3.Connection, ids: Iterable[int]) -> Iterator[FrameRow]:
    """Yields the rows with these ids. Reads each one when the iterator reaches it."""
    query = f"SELECT {COLUMNS} FROM frames WHERE id = ?"  # noqa: S608 — constants only
    return (FrameRow(*row) for id in ids for row in db.execute(query, (id,)))


def last_id(db: sqlite3.Connection) -> int:
    """Returns the greatest id that was ever assigned."""
    return int(db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'frames'").fetchone()[0])


def connect(path: Path) -> sqlite3.Connection:
    """Opens an existing journal. What is committed on this connection is on disk (`synchronous = FULL`)."""
    db = sqlite3.connect(path.as_uri() + "?mode=rw", uri=True, isolation_level=None, check_same_thread=False)
    db.text_factory = lambda raw: raw.decode(errors="replace")
    try:
        for pragma in (
            "synchronous = FULL",
            "secure_delete = FAST",  # overwrites deleted personal data where that costs no extra write
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            f"journal_size_limit = {CHECKPOINT_PAGES * PAGE_BYTES}",
        ):
            db.execute(f"PRAGMA {pragma}")
    except BaseException:
        db.close()
        raise
    return db


def create(path: Path, start: int) -> None:
    """Creates an empty journal whose first id comes after `start`."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))  # SQLite gives -wal and -shm the same mode
    db = connect(path)
    try:
        for pragma in (f"page_size = {PAGE_BYTES}", "auto_vacuum = NONE", "journal_mode = WAL"):
            db.execute(f"PRAGMA {pragma}")
        db.executescript(f"BEGIN; {_SCHEMA} COMMIT")
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('frames', ?)", (start,))
    finally:
        db.close()


def pragma(db: sqlite3.Connection, name: str) -> Any:
    """Returns the value of a pragma."""
    return db.execute(f"PRAGMA {name}").fetchone()[0]
