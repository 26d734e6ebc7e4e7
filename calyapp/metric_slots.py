"""Metric files that outlive their process: one set for each worker slot.

The library names its files by process id, so that every recycled worker leaves a set behind. Here a new worker takes
the slot of a dead one and continues its counts. This module does not know the metrics.
"""

import itertools
import math
import os
import threading
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Metric, values
from prometheus_client.multiprocess import MultiProcessCollector

from calyapp import file_lock
from calyapp.config import ConfigurationError


@dataclass(frozen=True, eq=False)
class Slot:
    """A slot that a process holds, named in files by its number.

    Equal only to itself. The library reopens its files when this value changes. It must do so even if a child takes the
    slot of its dead parent, because the values cached before the fork are out of date.
    """

    number: int
    lock: int  # a bare descriptor, so that no garbage collection closes it

    def __str__(self) -> str:
        return str(self.number)


class SlotDirectory:
    """The directory of metric files that all workers of a service share, and the slot of this process."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._slot: Slot | None = None
        self._claiming = threading.Lock()
        self.started_at = _first_start(path / "started")

    def slot(self) -> Slot:
        """Returns the slot of this process, claimed at first use. Called at every count, so it must stay cheap."""
        return self._slot or self._claim()

    def forget(self) -> None:
        """Gives up the slot until the next count: in a forked child, whose slot is the parent's, or in a parent.

        It closes the descriptor without releasing the lock, which parent and child share: that would free the slot.
        """
        if self._slot is not None:
            os.close(self._slot.lock)
        self._slot = None
        self._claiming = threading.Lock()

    def holders(self) -> dict[int, int]:
        """Returns the process ids of the live processes by slot number."""
        with self._alone():
            return self._holders()

    def merged(self) -> list[Metric]:
        """Returns the metrics of all workers: counts include dead workers, gauges do not."""
        with self._alone():
            files = [str(file) for file in self._countable(self._holders())]
            merged = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]  # not annotated there
            return list(merged)

    def _claim(self) -> Slot:
        with self._claiming:
            if self._slot is None:
                with self._alone():
                    self._slot = next(filter(None, map(self._try_claim, itertools.count())))
            return self._slot

    def _try_claim(self, number: int) -> Slot | None:
        lock = file_lock.try_acquire(self._path / f"slot-{number}.lock")
        if lock is None:
            return None
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        for gauges in self._path.glob(f"gauge_*_{number}.db"):
            gauges.unlink()  # the state of a process that has ended
        return Slot(number, lock)

    def _holders(self) -> dict[int, int]:
        locks = sorted(self._path.glob("slot-*.lock"))
        return {_slot_number(lock): int(lock.read_text()) for lock in locks if file_lock.is_held(lock)}

    def _countable(self, live: dict[int, int]) -> list[Path]:
        """Returns the files to merge. The library cannot read an empty file, which was created at this moment."""
        return [
            file
            for file in sorted(self._path.glob("*.db"))
            if file.stat().st_size and (not file.name.startswith("gauge_") or _slot_number(file) in live)
        ]

    def _alone(self) -> AbstractContextManager[int]:
        """Lets one thread of all workers at a time claim a slot or read.

        Without it, the look whether a slot is held would make a free slot appear taken to a worker that claims it.
        """
        return file_lock.exclusive(self._path / "slots.lock", max_wait_seconds=math.inf)


def share_files() -> SlotDirectory | None:
    """Stores every metric that is constructed from now on in the files of this process's slot.

    The library's own variable names the directory. Returns None, and changes nothing, if it is not set. Raises
    `ConfigurationError` if this process cannot write there.
    """
    path = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if path is None:
        return None
    try:
        directory = SlotDirectory(Path(path))
    except OSError as error:
        what = "PROMETHEUS_MULTIPROC_DIR must be a folder that this user can write to"
        raise ConfigurationError(f"{what} ({error.strerror}).") from error
    os.register_at_fork(after_in_child=directory.forget)
    values.ValueClass = values.MultiProcessValue(directory.slot)  # type: ignore[no-untyped-call]  # not annotated
    return directory


def _first_start(marker: Path) -> float:
    """Returns the Unix time at which the first worker started."""
    with suppress(FileExistsError):  # a recycled worker does not count as a start of the service
        marker.touch(0o600, exist_ok=False)
    return marker.stat().st_mtime


def _slot_number(file: Path) -> int:
    """Returns 7 for `slot-7.lock` and for `gauge_livesum_7.db`."""
    return int(file.stem.replace("-", "_").rpartition("_")[2])
