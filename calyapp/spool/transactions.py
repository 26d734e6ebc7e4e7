"""Runs transactions on the journal's file, one at a time, and survives damage, a full disk and forks.

Knows nothing of the content of the file.
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
from calyapp.spool.rows import PAGE_BYTES

logger = logging.getLogger(__name__)

T = TypeVar("T")

# SQLite copies the -wal file into the main file at 1 MB. It grows to this size only if
# that fails, or if a reader blocks it.
MAX_WAL_BYTES = 2 * 1024 * 1024
_DISK_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SpoolError(Exception):
    """The spool is full, unwritable or damaged beyond repair. The message is safe for a log."""


class _Damaged(Exception):  # noqa: N818 — not an error yet: salvage follows
    """The file is not as it was written."""


class Transactions:
    """The transactions of one process on the journal in a folder. The file has at most `max_pages` pages.

    Opens the file when it is first needed.
    """

    def __init__(self, folder: Path, max_pages: int, clock: Callable[[], float]) -> None:
        self._db: sqlite3.Connection | None = None
        self.folder = Folder(folder)
        self._max_pages = max_pages
        self._clock = clock
        self._file = Path()
        self._identity: tuple[int, int] | None = None
        _instances.add(self)

    def __del__(self) -> None:
        self._disconnect()  # Python 3.13 warns about a connection that is not closed

    def run(self, work: Callable[[sqlite3.Connection], T], *, frees_space: bool = True) -> T:
        """Runs `work` in one exclusive transaction and returns its result. Raises `SpoolError`.

        `frees_space` says that the work frees space or only reads. It may then use the reserve when the disk is full:
        even a DELETE first needs space in the -wal file. `work` runs again after the reserve is released, and after
        salvage.
        """
        try:
            with self.folder.exclusive():
                return self._run_despite_damage(work, frees_space)
        except (OSError, sqlite3.Error, _Damaged) as error:
            raise SpoolError(f"The spool cannot be used: {type(error).__name__}: {error}") from error

    def shrink(self) -> None:
        """Returns unused space to the disk. Fast if the file is nearly empty. Only logs a warning if it fails."""
        try:
            with self.folder.exclusive():
                self._connection().execute("VACUUM")
                self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (OSError, sqlite3.Error, _Damaged) as error:
            logger.warning("the file of the spool could not be shrunk: %s", error)

    def wal_bytes(self) -> int:
        """Returns the size of the -wal file: what is committed but not yet in the main file."""
        try:
            return os.stat(f"{self._file}-wal").st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Closes the file. The next transaction opens it again."""
        with self.folder.threads_excluded():
            self._disconnect()

    def _run_despite_damage(self, work: Callable[[sqlite3.Connection], T], frees_space: bool) -> T:
        try:
            return self._run_despite_full_disk(work, frees_space)
        except (sqlite3.DatabaseError, _Damaged) as error:
            if not (isinstance(error, _Damaged) or _primary(error) in _DAMAGED):
                raise
            self._salvage()
            return self._run_despite_full_disk(work, frees_space)

    def _run_despite_full_disk(self, work: Callable[[sqlite3.Connection], T], frees_space: bool) -> T:
        try:
            return self._transact(work)
        except sqlite3.OperationalError as error:
            if not (frees_space and _primary(error) in _DISK_FULL and self.folder.release_reserve()):
                raise
            return self._transact(work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db = self._connection()
            if self.wal_bytes() > MAX_WAL_BYTES:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("BEGIN IMMEDIATE")
            result = work(db)
            db.execute("COMMIT")
        except SpoolError:
            db.execute("ROLLBACK")
            raise
        except BaseException:
            self._disconnect()  # rolls back, and discards whatever state the error left in the connection
            raise
        return result

    def _connection(self) -> sqlite3.Connection:
        """Returns a connection to the current file. Opens the new file if another process replaced the journal."""
        if self._db is None or self.folder.identity() != self._identity:
            self._disconnect()
            file = self.folder.current_file()
            if file is None:
                self.folder.replace(self._create)
                file = self.folder.current_file()
            self._file, self._identity = file or Path(), self.folder.identity()
            if self._file.stat().st_size < PAGE_BYTES:  # SQLite would treat it as new, and delete the -wal
                raise _Damaged("the file is empty")
            self._db = rows.connect(self._file)
            self._db.execute(f"PRAGMA max_page_count = {self._max_pages}")
            self._check(self._db)
        return self._db

    def _check(self, db: sqlite3.Connection) -> None:
        """Raises `_Damaged` if the file is truncated or lacks our tables.

        Checks only what is cheap. `PRAGMA quick_check` would read the whole file in the first request of every worker.
        Other damage is detected when it is met: SQLite notices a broken page, the checksum a changed content.
        """
        try:
            _, wal_pages, copied_pages = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.OperationalError:  # disk full: pages may be in the -wal file only, so the length proves nothing
            return
        size = self._file.stat().st_size
        if wal_pages == copied_pages and (size % PAGE_BYTES or size < rows.pragma(db, "page_count") * PAGE_BYTES):
            raise _Damaged("the file is truncated")
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"frames", "counts", "notes"} <= tables:
            raise _Damaged("the file lacks its tables")

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _create(self, path: Path) -> int:
        rows.create(path, self._first_id())
        return 0

    def _first_id(self) -> int:
        """Returns the time in microseconds: greater than every id of the previous file, even if that is unreadable."""
        return int(self._clock() * 1_000_000)

    def _salvage(self) -> None:
        self._disconnect()
        damaged = self.folder.current_file()
        if damaged is None:
            return
        saved = self.folder.replace(lambda path: salvage.rebuild(damaged, path, self._first_id()))
        logger.critical(
            "The spool was damaged. Its file was set aside, and everything readable was copied into a new one.",
            extra={"fields": {"event": "SPOOL_DAMAGED", "count": saved}},
        )


def _primary(error: sqlite3.Error) -> int:
    """Returns SQLite's primary error code, or 0 if the error comes from Python's module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


# Forks. Invariant: no journal is open while this process forks, and no thread is inside a transaction.
# SQLite keeps a table of the locks of its process. A child inherits the table but not the POSIX locks: it would believe
# that it holds locks which it does not, and two processes could write at once and corrupt the file. A child would also
# inherit a lock in memory that a thread held at the fork, and no thread of the child would ever release it.
# So `_before_fork` takes the thread lock of every journal, closes its file, and holds the locks until the fork is over,
# in parent and child. `_fork_lock` lets one thread fork at a time: two that take these locks in different orders would
# wait for each other.
_instances: WeakSet[Transactions] = WeakSet()
_fork_lock = threading.Lock()
_held_locks = ExitStack()


def _before_fork() -> None:
    _held_locks.enter_context(_fork_lock)
    for transactions in list(_instances):
        _held_locks.enter_context(transactions.folder.threads_excluded())
        transactions._disconnect()


def _after_fork() -> None:
    _held_locks.pop_all().close()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
