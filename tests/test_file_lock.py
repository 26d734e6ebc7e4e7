import math
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from calyapp import file_lock
from calyapp.file_lock import LockHeldError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def children() -> Iterator[list[int]]:
    pids: list[int] = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def fork() -> int:
    """Forks a child that sleeps, with every file of this process open."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


class TestExclusive:
    def test_excludes_other_holders(self, path: Path) -> None:
        with file_lock.exclusive(path):
            with pytest.raises(LockHeldError), file_lock.exclusive(path):
                pytest.fail("two held the lock")
            with pytest.raises(LockHeldError), file_lock.exclusive(path, max_wait_seconds=0.01):
                pytest.fail("two held the lock")

        with file_lock.exclusive(path):
            assert file_lock.is_held(path)

    @pytest.mark.parametrize("max_wait_seconds", [30.0, math.inf])
    def test_waits_for_the_holder(self, path: Path, max_wait_seconds: float) -> None:
        entered = threading.Event()

        def enter() -> None:
            with file_lock.exclusive(path, max_wait_seconds=max_wait_seconds):
                entered.set()

        thread = threading.Thread(target=enter)
        with file_lock.exclusive(path):
            thread.start()
            assert not entered.wait(0.05)
        thread.join()

        assert entered.is_set()

    def test_is_released_when_the_work_fails(self, path: Path) -> None:
        with pytest.raises(ZeroDivisionError), file_lock.exclusive(path):
            raise ZeroDivisionError

        assert not file_lock.is_held(path)

    def test_is_released_although_a_child_forked_meanwhile_has_the_file_open(
        self, path: Path, children: list[int]
    ) -> None:
        with file_lock.exclusive(path):
            children.append(fork())

        assert not file_lock.is_held(path)

    def test_leaves_no_file_open_when_the_lock_is_held(self, path: Path) -> None:
        with file_lock.exclusive(path):
            before = os.listdir("/proc/self/fd")
            with pytest.raises(LockHeldError), file_lock.exclusive(path):
                pytest.fail("two held the lock")
            assert file_lock.try_acquire(path) is None
            assert os.listdir("/proc/self/fd") == before

    def test_makes_a_file_that_only_this_user_can_open(self, path: Path) -> None:
        with file_lock.exclusive(path):
            assert path.stat().st_mode & 0o777 == 0o600


class TestTryAcquire:
    def test_holds_the_lock_until_it_is_released(self, path: Path) -> None:
        lock = file_lock.try_acquire(path)
        assert lock is not None
        assert file_lock.try_acquire(path) is None

        file_lock.release(lock)

        assert not file_lock.is_held(path)

    def test_lets_a_child_close_what_it_inherited_and_the_parent_keep_the_lock(
        self, path: Path, children: list[int]
    ) -> None:
        lock = file_lock.try_acquire(path)
        assert lock is not None
        children.append(fork())

        os.close(lock)

        assert file_lock.is_held(path)
