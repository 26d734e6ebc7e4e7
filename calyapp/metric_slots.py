"""Metric files that outlive the process writing them: one set for each worker slot, whoever holds the slot.

The library names its files by process id, so that every recycled worker leaves a set behind. Here a new one
takes the slot of the dead and continues its counts. Knows nothing of which metrics there are.
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
    """A slot as held by one process, named in files by its number.

    Equal to itself only: the library opens its files anew when this value changes, and it must do so even if
    a child takes the very slot of its dead parent, for the values cached before the fork are old by then.
    """

    number: int
    lock: int  # a bare descriptor: nothing may close it before the process ends

    def __str__(self) -> str:
        return str(self.number)


class SlotDirectory:
    """The directory of metric files that all workers of one service share, and this process's slot in it."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._slot: Slot | None = None
        self._claiming = threading.Lock()
        self.started_at = _first_start(path / "started")

    def slot(self) -> Slot:
        """This process's slot, claimed at first use. Asked for at every count: it must stay this cheap."""
        return self._slot or self._claim()

    def forget(self) -> None:
        """Hold no slot until the next count. After a fork, in the child, whose slot is the parent's; or in a parent.

        Its descriptor is closed, never unlocked: both share one lock, and unlocking would free the slot.
        """
        if self._slot is not None:
            os.close(self._slot.lock)
        self._slot = None
        self._claiming = threading.Lock()

    def holders(self) -> dict[int, int]:
        """The process id of every live process, by the number of its slot."""
        with self._alone():
            return self._holders()

    def merged(self) -> list[Metric]:
        """All metrics of all workers together: counts of dead ones too, gauges of live ones only."""
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
            gauges.unlink()  # they told the state of a process that is gone
        return Slot(number, lock)

    def _holders(self) -> dict[int, int]:
        locks = sorted(self._path.glob("slot-*.lock"))
        return {_slot_number(lock): int(lock.read_text()) for lock in locks if file_lock.is_held(lock)}

    def _countable(self, live: dict[int, int]) -> list[Path]:
        """Files to merge. An empty one was created this instant, and the library would stumble over it."""
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
    """Let every metric constructed from now on live in the files of this process's slot.

    The directory is the one that the library's own variable names; None, and nothing is changed, without it. Raises
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
    """Unix time at which the first worker of all passed here."""
    with suppress(FileExistsError):  # a recycled worker is no new start of the service
        marker.touch(0o600, exist_ok=False)
    return marker.stat().st_mtime


def _slot_number(file: Path) -> int:
    """7 for `slot-7.lock` and for `gauge_livesum_7.db`."""
    return int(file.stem.replace("-", "_").rpartition("_")[2])
