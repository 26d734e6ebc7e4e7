"""Everything readable of a damaged journal, put into a new one. Works on a copy: the original stays as it is.

Knows nothing of who uses a journal meanwhile: the caller holds the lock.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from calyapp.spool import rows
from calyapp.spool.rows import PAGE, FrameRow

# Ids tried in vain before one end is given up and the other one tried. More than one damaged interior page
# covers, few enough for a second of work: a gap between two ids can be of any size.
_MAX_MISSING_IDS = 100_000
_BATCH = 1000
_MAX_ID = 2**62


def rebuild(old: Path, new: Path, start: int) -> int:
    """Make the journal `new`, with ids after `start`, from what is readable of `old`; returns the frames saved.

    Both a copy of `old` and `new` stand in the folder of `new`, which is the caller's to remove after a crash.
    """
    rows.create(new, start)
    copy = new.with_name("old.db")
    _copy(old, copy, empty=new.read_bytes())
    with closing(rows.connect(copy)) as source, closing(rows.connect(new)) as target:
        return _transfer(source, target)


def _copy(old: Path, copy: Path, empty: bytes) -> None:
    """A copy that sqlite opens whatever happened to the original, at least for its intact pages.

    The first page of a journal is always the same but for counters of the header, which reading does not need:
    so that of an empty one replaces it, with the number of pages that are really there, and the empty one's other
    pages follow where the file is shorter still. sqlite refuses a file without them, or shorter than it says.
    """
    shutil.copy(old, copy)
    wal = Path(f"{old}-wal")
    if wal.exists():
        shutil.copy(wal, f"{copy}-wal")
    with copy.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(empty[end:])
        pages = -(-max(end, len(empty)) // PAGE)
        file.truncate(pages * PAGE)
        file.seek(0)
        file.write(empty[:28] + pages.to_bytes(4, "big") + empty[32:PAGE])


def _transfer(source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    last = _last_id(source)
    saved, greatest = 0, 0
    found = _readable(source, last)
    while batch := list(islice(found, _BATCH)):
        greatest = max(greatest, *(row.id for row in batch))
        target.execute("BEGIN")
        saved += rows.insert(target, batch)
        target.execute("COMMIT")
    target.execute("UPDATE sqlite_sequence SET seq = max(seq, ?)", (max(greatest, last or 0),))
    for table in ("counts", "notes"):
        _transfer_small(source, target, table)
    return saved


def _last_id(source: sqlite3.Connection) -> int | None:
    try:
        return rows.last_id(source)
    except (sqlite3.DatabaseError, TypeError, ValueError):  # unreadable; no such row; not a number
        return None


def _readable(source: sqlite3.Connection, last: int | None) -> Iterator[FrameRow]:
    """Every row that can be read and is intact: from the lowest id upwards, the rest from the greatest downwards.

    From both ends, since a damaged page may stand for a wide gap between ids.
    """
    greatest = _MAX_ID if last is None else last
    reached = -1
    for row in _walk(source, ">= ? ORDER BY id", range(greatest + 1)):
        reached = row.id
        yield row
    yield from _walk(source, "<= ? ORDER BY id DESC", range(greatest, reached, -1))


def _walk(source: sqlite3.Connection, beyond: str, ids: range) -> Iterator[FrameRow]:
    """Rows in one direction. Each is looked up by itself, so that one beyond a damaged page is found as well."""
    at, failures = ids.start, 0
    while at in ids and failures < _MAX_MISSING_IDS:
        row, ended = _look_up(source, beyond, at)
        if ended or (row and row.id not in ids):
            return
        if row:
            yield row
        failures = 0 if row else failures + 1
        at = (row.id if row else at) + ids.step


def _look_up(source: sqlite3.Connection, beyond: str, at: int) -> tuple[FrameRow | None, bool]:
    """The row at `at` or next to it, if it is readable and intact; and whether there is none any more."""
    query = f"SELECT {rows.COLUMNS} FROM frames WHERE id {beyond} LIMIT 1"  # noqa: S608 — our words
    try:
        found = source.execute(query, (at,)).fetchone()
    except sqlite3.DatabaseError:
        return None, False
    if found is None:
        return None, True
    row = FrameRow(*found)
    return (row if row.intact else None), False


def _transfer_small(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    try:
        for pair in source.execute(f"SELECT * FROM {table}"):  # noqa: S608 — our words
            target.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", pair)  # noqa: S608 — our words
    except sqlite3.DatabaseError:
        return  # a page or so in all: what could be read of it is there
