"""Copies everything readable from a damaged journal into a new one. Works on a copy; the original does not change.

The caller holds the lock of the folder.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from calyapp.spool import rows
from calyapp.spool.rows import PAGE_BYTES, FrameRow

# Consecutive failed look-ups after which a walk stops. More than the ids behind one damaged interior page, and few
# enough to take about a second. Without the bound a walk might never end, because gaps between ids can have any size.
_MAX_MISSING_IDS = 100_000
_BATCH_ROWS = 1000
_MAX_ID = 2**62


def rebuild(old: Path, new: Path, start: int) -> int:
    """Creates the journal `new` from everything readable in `old`. Returns the number of frames saved.

    New ids start after `start`. A copy of `old` is made in the folder of `new`; the caller removes that folder.
    """
    rows.create(new, start)
    copy = new.with_name("old.db")
    _copy(old, copy, empty=new.read_bytes())
    with closing(rows.connect(copy)) as source, closing(rows.connect(new)) as target:
        return _transfer(source, target)


def _copy(old: Path, copy: Path, empty: bytes) -> None:
    """Copies the journal and patches the copy so that SQLite opens it and reads its intact pages.

    SQLite refuses a file with a damaged header, one that is shorter than its header says, and one without the pages
    that the schema names as roots. The patch relies on an invariant that `tests/spool/test_rows.py` checks: the first
    page (header and schema) is the same in every journal, except for counters in the header that reading does not
    need. So the first page of an empty journal replaces it, with the real number of pages written at byte 28 (the field
    of SQLite's file format). If the file is shorter than an empty journal, the rest of the empty one is appended.
    """
    shutil.copy(old, copy)
    wal = Path(f"{old}-wal")
    if wal.exists():
        shutil.copy(wal, f"{copy}-wal")
    with copy.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(empty[end:])
        pages = -(-max(end, len(empty)) // PAGE_BYTES)
        file.truncate(pages * PAGE_BYTES)
        file.seek(0)
        file.write(empty[:28] + pages.to_bytes(4, "big") + empty[32:PAGE_BYTES])


def _transfer(source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    last = _last_id(source)
    saved, max_id = 0, 0
    readable = _readable(source, last)
    while batch := list(islice(readable, _BATCH_ROWS)):
        max_id = max(max_id, *(row.id for row in batch))
        target.execute("BEGIN")
        saved += rows.insert(target, batch)
        target.execute("COMMIT")
    target.execute("UPDATE sqlite_sequence SET seq = max(seq, ?)", (max(max_id, last or 0),))
    for table in ("counts", "notes"):
        _transfer_pairs(source, target, table)
    return saved


def _last_id(source: sqlite3.Connection) -> int | None:
    try:
        return rows.last_id(source)
    except (sqlite3.DatabaseError, TypeError, ValueError):  # unreadable, no such row, not a number
        return None


def _readable(source: sqlite3.Connection, last: int | None) -> Iterator[FrameRow]:
    """Yields every readable and intact row: from the lowest id upwards, then the rest from the greatest downwards.

    Both directions are needed: a damaged page may cover a gap between ids that is too wide to walk across.
    """
    max_id = _MAX_ID if last is None else last
    reached = -1
    for row in _walk(source, ">= ? ORDER BY id", range(max_id + 1)):
        reached = row.id
        yield row
    yield from _walk(source, "<= ? ORDER BY id DESC", range(max_id, reached, -1))


def _walk(source: sqlite3.Connection, beyond: str, ids: range) -> Iterator[FrameRow]:
    """Yields rows in one direction. Looks up each id separately, to find rows beyond a damaged page as well.

    A single scan would end at the first damaged page.
    """
    at, failures = ids.start, 0
    while at in ids and failures < _MAX_MISSING_IDS:
        row, is_end = _look_up(source, beyond, at)
        if is_end or (row and row.id not in ids):
            return
        if row:
            yield row
        failures = 0 if row else failures + 1
        at = (row.id if row else at) + ids.step


def _look_up(source: sqlite3.Connection, beyond: str, at: int) -> tuple[FrameRow | None, bool]:
    """Returns the row at or next to the id `at`, or None if it is damaged; and whether no row is left."""
    query = f"SELECT {rows.COLUMNS} FROM frames WHERE id {beyond} LIMIT 1"  # noqa: S608 — constants only
    try:
        row = source.execute(query, (at,)).fetchone()
    except sqlite3.DatabaseError:
        return None, False
    if row is None:
        return None, True
    frame = FrameRow(*row)
    return (frame if frame.is_intact else None), False


def _transfer_pairs(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    try:
        for pair in source.execute(f"SELECT * FROM {table}"):  # noqa: S608 — constants only
            target.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", pair)  # noqa: S608 — constants only
    except sqlite3.DatabaseError:
        return  # the table has about one page; the readable rows before the damage are copied
