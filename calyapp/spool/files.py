"""The folder of a journal: who may write, which file is the journal, the reserve, and what was set aside.

`journal.db` is a link to the file in use, and each file has a name of its own. For sqlite removes the -wal file
by name when the last connection closes: a process that still has the file before open would remove that of its
successor. It also makes the change from one to the other a single step.
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

RESERVE = 3 * 1024 * 1024
PATIENCE_SECONDS = 10.0  # a disk that is busy with a server that recovers can take three for one write


class Folder:
    """One folder on a local disk. All but `alone` is for whoever is alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._link = self.path / "journal.db"
        self._reserve = self.path / "reserve"
        self._making = self.path / "making"
        self._lock = threading.Lock()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other thread and no other process. Raises TimeoutError where somebody does not leave.

        Threads wait in turn, processes half a millisecond at a time: sqlite's own lock waits longer and longer.
        """
        if not self._lock.acquire(timeout=PATIENCE_SECONDS):
            raise TimeoutError("another thread keeps the spool to itself")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with file_lock.exclusive(self.path / "journal.lock", max_wait_seconds=PATIENCE_SECONDS):
                yield
        except LockHeldError:  # a process that was stopped, with Ctrl-Z for example, must not hold up every call
            raise TimeoutError("another process keeps the spool to itself") from None
        finally:
            self._lock.release()

    @contextmanager
    def no_thread_inside(self) -> Iterator[None]:
        """Nobody in this process is in `alone`; what other processes do does not matter."""
        with self._lock:
            yield

    def identity(self) -> tuple[int, int] | None:
        """Which file is the journal now; None if there is none."""
        try:
            found = os.stat(self._link)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def current(self) -> Path | None:
        """The journal's file, None if there is none.

        A file that was put in the link's place, a backup say, is taken in; and where the link is lost, the newest.
        Files that the link does not name were left by a crash, and are set aside.
        """
        if self._link.is_file() and not self._link.is_symlink():
            _rename(self._link, self._name("journal"))
        if self.identity() is None and (files := self._journals()):
            self._point_at(files[-1])
        if self.identity() is None:
            return None
        used = self._link.resolve()
        for file in self._journals():
            if file.name != used.name:
                _rename(file, self._name("damaged"))
        return used

    def replace(self, make: Callable[[Path], int]) -> int:
        """Let `make` write a complete new journal at a path, then make it the journal; the one before is set aside.

        A crash before the link changes leaves the old one in place, whole, and everything is done again; one after
        it leaves a file that nothing points at, which is set aside when the journal is opened.
        """
        shutil.rmtree(self._making, ignore_errors=True)
        self._making.mkdir(0o700)
        made = make(self._making / "new.db")
        name = self._name("journal")
        (self._making / "new.db").rename(name)
        _sync(self.path)
        self._point_at(name)
        shutil.rmtree(self._making)
        self.current()
        return made

    def damaged_files(self) -> int:
        """How many damaged files lie here."""
        return len(list(self.path.glob("damaged-*.db")))

    def make_reserve(self) -> None:
        """Keep disk space back for writes that make room; raises OSError if there is not enough."""
        if self._reserve.exists():
            return
        file = os.open(self._reserve, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, RESERVE)
        except OSError:
            self._reserve.unlink()
            raise
        finally:
            os.close(file)

    def release_reserve(self) -> bool:
        """Give the space back to the disk; False if it was gone already."""
        try:
            self._reserve.unlink()
        except FileNotFoundError:
            return False
        return True

    def bytes(self) -> int:
        """What journal and reserve take on the disk."""
        used = [*self.path.glob("journal-*"), self._reserve]
        return sum(file.stat().st_size for file in used if file.exists())

    def free_bytes(self) -> int:
        """What the disk has left for us; before the folder is made, the disk on which it will be."""
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
    """With what sqlite keeps beside it; the -wal first, for it holds frames and means nothing alone."""
    for suffix in ("-wal", "-shm", ""):
        beside = Path(f"{file}{suffix}")
        if beside.exists():
            beside.rename(f"{to}{suffix}")


def _sync(folder: Path) -> None:
    """Make renames in it last."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
