"""The folder of a journal: the lock, the link to the journal's file, the reserve file, and damaged files.

`journal.db` is a symbolic link to the file in use, and each file has a unique name. The invariant: no file name is used
twice. SQLite deletes the -wal file by name when the last connection closes. If a new journal took the name of the old
one, a process that still has the old one open would delete the -wal file of the new one, and with it frames that were
acknowledged. The link also makes the change from one file to the next a single step.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from calyapp import file_lock
from calyapp.file_lock import LockHeldError

RESERVE_BYTES = 3 * 1024 * 1024
LOCK_TIMEOUT_SECONDS = 10.0  # one write can take 3 s while a recovering server keeps the disk busy


class Folder:
    """One folder on a local disk. The caller holds the lock (`exclusive`) while it uses the other methods."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._link = self.path / "journal.db"
        self._reserve = self.path / "reserve"
        self._new_folder = self.path / "making"
        self._lock = threading.Lock()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Excludes all other threads and processes. Raises `TimeoutError` if one of them holds the lock for 10 s.

        Threads queue for a lock in memory. Processes poll the lock file every 0.5 ms, because SQLite's own lock waits
        longer after each attempt.
        """
        if not self._lock.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            raise TimeoutError("another thread holds the lock of the spool")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with file_lock.exclusive(self.path / "journal.lock", max_wait_seconds=LOCK_TIMEOUT_SECONDS):
                yield
        except LockHeldError:  # a suspended process that holds the lock (Ctrl-Z) must not block every telephone call
            raise TimeoutError("another process holds the lock of the spool") from None
        finally:
            self._lock.release()

    @contextmanager
    def threads_excluded(self) -> Iterator[None]:
        """Excludes the other threads of this process, but not other processes."""
        with self._lock:
            yield

    def identity(self) -> tuple[int, int] | None:
        """Returns the device and inode of the file that is the journal now, or None if there is none."""
        try:
            status = os.stat(self._link)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def current_file(self) -> Path | None:
        """Returns the journal's file, or None if there is none. Repairs what a crash or an operator left behind.

        A regular file in place of the link, such as a restored backup, becomes the journal. If the link is missing,
        the newest file becomes the journal. Journal files without a link were left by a crash and are set aside.
        """
        if self._link.is_file() and not self._link.is_symlink():
            _rename(self._link, self._name("journal"))
        if self.identity() is None and (files := self._journals()):
            self._point_at(files[-1])
        if self.identity() is None:
            return None
        current = self._link.resolve()
        for file in self._journals():
            if file.name != current.name:
                _rename(file, self._name("damaged"))
        return current

    def replace(self, make: Callable[[Path], int]) -> int:
        """Replaces the journal with a new file that `make` writes completely, and sets the old file aside.

        Returns what `make` returns. Safe against crashes: before the link changes, the old file is intact and in use,
        and the next attempt starts again. After it, the old file has no link and is set aside at the next opening.
        """
        shutil.rmtree(self._new_folder, ignore_errors=True)
        self._new_folder.mkdir(0o700)
        result = make(self._new_folder / "new.db")
        name = self._name("journal")
        (self._new_folder / "new.db").rename(name)
        _sync(self.path)
        self._point_at(name)
        shutil.rmtree(self._new_folder)
        self.current_file()
        return result

    def damaged_files(self) -> int:
        """Returns the number of damaged journals that were set aside in the folder."""
        return len(list(self.path.glob("damaged-*.db")))

    def make_reserve(self) -> None:
        """Reserves disk space for writes that free space. Raises `OSError` if the disk has too little."""
        if self._reserve.exists():
            return
        file = os.open(self._reserve, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, RESERVE_BYTES)
        except OSError:
            self._reserve.unlink()
            raise
        finally:
            os.close(file)

    def release_reserve(self) -> bool:
        """Deletes the reserve file. Returns False if it did not exist."""
        try:
            self._reserve.unlink()
        except FileNotFoundError:
            return False
        return True

    def bytes(self) -> int:
        """Returns the size of the journal and the reserve on the disk."""
        files = [*self.path.glob("journal-*"), self._reserve]
        return sum(file.stat().st_size for file in files if file.exists())

    def free_bytes(self) -> int:
        """Returns the free space on the disk of the folder, also before the folder exists."""
        disk = os.statvfs(next(path for path in (self.path, *self.path.parents) if path.exists()))
        return disk.f_bavail * disk.f_frsize

    def _journals(self) -> list[Path]:
        return sorted(self.path.glob("journal-*.db"))

    def _name(self, kind: str) -> Path:
        now = time.time_ns()
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9))
        return self.path / f"{kind}-{moment}.{now % 10**9:09d}Z.db"

    def _point_at(self, file: Path) -> None:
        link = self.path / "journal.link"
        link.unlink(missing_ok=True)
        link.symlink_to(file.name)
        link.replace(self._link)
        _sync(self.path)


def _rename(file: Path, to: Path) -> None:
    """Renames the file together with its -wal and -shm files.

    The -wal file holds committed frames. The main file goes last: after a crash in between it still has its old name,
    and the next call finds and renames it.
    """
    for suffix in ("-wal", "-shm", ""):
        part = Path(f"{file}{suffix}")
        if part.exists():
            part.rename(f"{to}{suffix}")


def _sync(folder: Path) -> None:
    """Makes renames in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
