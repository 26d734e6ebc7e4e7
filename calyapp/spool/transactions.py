"""Transactions on the journal's file, by one at a time, in spite of damage, a full disk and forks.

Knows nothing of what is kept in the file.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from calyapp.spool import rows, salvage
from calyapp.spool.files import Folder
from calyapp.spool.rows import PAGE

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The -wal file is written back at 1 MB. It can only grow to this if that fails, or somebody reads for long.
WAL_REFUSED = 2 * 1024 * 1024
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SpoolError(Exception):
    """The spool cannot take it: full, disk full, unwritable, damaged beyond use. The message is safe for a log."""


class _Damaged(Exception):  # noqa: N818 - a state, not yet an error
    """The file is not what was written."""


class Transactions:
    """Those of one process on the journal in a folder, whose file has at most so many pages.

    Nothing is opened before it is needed.
    """

    def __init__(self, folder: Path, pages: int, clock: Callable[[], float]) -> None:
        self._db: sqlite3.Connection | None = None
        self.folder = Folder(folder)
        self._pages = pages
        self._clock = clock
        self._file = Path()
        self._identity: tuple[int, int] | None = None
        _all.add(self)

    def __del__(self) -> None:
        self._disconnect()  # Python 3.13 warns of a database that is dropped open

    def run(self, work: Callable[[sqlite3.Connection], T], *, frees: bool = True) -> T:
        """Do it in one transaction, alone. What makes room (or only reads) may use up the reserve for it."""
        try:
            with self.folder.alone():
                return self._in_spite_of_damage(work, frees)
        except (OSError, sqlite3.Error, _Damaged) as error:
            raise SpoolError(f"The spool cannot be used: {type(error).__name__}: {error}") from error

    def shrink(self) -> None:
        """Give the disk back what the file does not use: quick while little is in it. No room for it: not now."""
        try:
            with self.folder.alone():
                self._connection().execute("VACUUM")
                self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (OSError, sqlite3.Error, _Damaged) as error:
            logger.warning("the spool could not be made smaller: %s", error)

    def wal_bytes(self) -> int:
        """What is committed but not yet written back into the file takes so much."""
        try:
            return os.stat(f"{self._file}-wal").st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Let go of the file; the next transaction opens it again."""
        with self.folder.no_thread_inside():
            self._disconnect()

    def _in_spite_of_damage(self, work: Callable[[sqlite3.Connection], T], frees: bool) -> T:
        try:
            return self._in_spite_of_full_disk(work, frees)
        except (sqlite3.DatabaseError, _Damaged) as error:
            if not (isinstance(error, _Damaged) or _primary(error) in _DAMAGED):
                raise
            self._salvage()
            return self._in_spite_of_full_disk(work, frees)

    def _in_spite_of_full_disk(self, work: Callable[[sqlite3.Connection], T], frees: bool) -> T:
        try:
            return self._transact(work)
        except sqlite3.OperationalError as error:
            if not (frees and _primary(error) in _FULL and self.folder.release_reserve()):
                raise
            return self._transact(work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db = self._connection()
            if self.wal_bytes() > WAL_REFUSED:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("BEGIN IMMEDIATE")
            result = work(db)
            db.execute("COMMIT")
        except SpoolError:
            db.execute("ROLLBACK")
            raise
        except BaseException:
            self._disconnect()  # rolls back, and whatever state an error left the connection in is gone with it
            raise
        return result

    def _connection(self) -> sqlite3.Connection:
        """To the file that is the journal now: another process may have set the one before aside."""
        if self._db is None or self.folder.identity() != self._identity:
            self._disconnect()
            file = self.folder.current()
            if file is None:
                self.folder.replace(self._create)
                file = self.folder.current()
            self._file, self._identity = file or Path(), self.folder.identity()
            if self._file.stat().st_size < PAGE:  # sqlite would take it for a new one, and remove the -wal
                raise _Damaged("the file is empty")
            self._db = rows.connect(self._file)
            self._db.execute(f"PRAGMA max_page_count = {self._pages}")
            self._check(self._db)
        return self._db

    def _check(self, db: sqlite3.Connection) -> None:
        """Raise _Damaged if the file is not whole.

        Only its length and that it has our tables, which costs nothing. `PRAGMA quick_check` would read the file
        in every worker's first request, and other damage comes to light where it matters: sqlite finds a broken
        page when it walks over it, the checksum a changed content.
        """
        try:
            _, written, back = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.OperationalError:  # no room on the disk: the file may lack what the -wal still has
            return
        size = self._file.stat().st_size
        if written == back and (size % PAGE or size < rows.pragma(db, "page_count") * PAGE):
            raise _Damaged("the file is cut off")
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"frames", "counts", "notes"} <= tables:
            raise _Damaged("the file has lost its tables")

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _create(self, path: Path) -> int:
        rows.create(path, self._first_id())
        return 0

    def _first_id(self) -> int:
        """The time: later than every id of the file before, even where that cannot be read."""
        return int(self._clock() * 1_000_000)

    def _salvage(self) -> None:
        self._disconnect()
        damaged = self.folder.current()
        if damaged is None:
            return
        saved = self.folder.replace(lambda path: salvage.rebuild(damaged, path, self._first_id()))
        logger.critical(
            "The spool was damaged: the file is set aside, what could be read is in a new one",
            extra={"fields": {"event": "SPOOL_DAMAGED", "count": saved}},
        )


def _primary(error: sqlite3.Error) -> int:
    """The kind of error, without its finer distinctions; 0 where Python itself refused."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


# sqlite keeps a table of the files that a process has locked. A child inherits the table but not the locks, so
# that a journal open in both would be unprotected in the child. Therefore none is open while a process forks.
_all: WeakSet[Transactions] = WeakSet()
_fork_alone = threading.Lock()
_forking = ExitStack()


def _before_fork() -> None:
    _forking.enter_context(_fork_alone)
    for journal in list(_all):
        _forking.enter_context(journal.folder.no_thread_inside())
        journal._disconnect()


def _after_fork() -> None:
    _forking.pop_all().close()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
