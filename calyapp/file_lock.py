"""Exclusive locks on files, which keep other processes of this host out. The kernel frees them when their holder dies.

A lock belongs to the open file, and a forked child shares the open files of its parent. Two rules follow:

- To release a lock, unlock it, then close it. Closing alone leaves it with a child that was forked meanwhile.
- A child that only inherited a lock closes the descriptor. Unlocking would free its parent's lock.

Do not remove a lock file: a process that already has it open would hold a lock that others cannot see.
"""

import fcntl
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.0005


class LockHeldError(Exception):
    """Another process, or another open file of this one, holds the lock."""


@contextmanager
def exclusive(path: Path, *, max_wait_seconds: float = 0.0) -> Iterator[int]:
    """Holds the lock on a file, which is created if it does not exist, and yields the file's descriptor.

    Waits up to `max_wait_seconds`, or with `math.inf` without limit. Raises `LockHeldError` after that.
    """
    lock = _open(path)
    try:
        _acquire(lock, max_wait_seconds)
    except BaseException:
        os.close(lock)
        raise
    try:
        yield lock
    finally:
        release(lock)


def try_acquire(path: Path) -> int | None:
    """Takes the lock without waiting. Returns the descriptor that holds it, or None if the lock is taken."""
    lock = _open(path)
    try:
        _acquire(lock, max_wait_seconds=0.0)
    except LockHeldError:
        os.close(lock)
        return None
    return lock


def release(lock: int) -> None:
    """Releases the lock that this descriptor holds, and closes it."""
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def is_held(path: Path) -> bool:
    """Returns whether the lock is taken. While this looks, the lock appears taken to others."""
    lock = try_acquire(path)
    if lock is None:
        return True
    release(lock)
    return False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _acquire(lock: int, max_wait_seconds: float) -> None:
    if max_wait_seconds == math.inf:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return None
    ends_at = time.monotonic() + max_wait_seconds
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends_at:
                raise LockHeldError from None
            time.sleep(_POLL_SECONDS)
