"""A disk that fills up, without the right to mount one: a small file system that only some processes see."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_MOUNT = 'mount -t tmpfs -o "size=$1" none "$2" && echo mounted && exec cat'


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[tuple[str, ...]]:
    """A file system of this size ("8m") at the existing `folder`, for commands that start with the words it yields.

    It lies in a mount namespace of its own, in which an ordinary user may mount too, and is gone with the last process
    in there. Skips the test where the system forbids even that, as many containers do.
    """
    users = () if os.geteuid() == 0 else ("--user",)
    mapping = ("--map-root-user",) if users else ()
    holder = subprocess.Popen(
        ["unshare", *users, *mapping, "--mount", "sh", "-c", _MOUNT, "sh", size, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with holder:
        if holder.stdout.readline() != "mounted\n":
            pytest.skip("this system lets nobody mount a file system, not even in a namespace: " + holder.stderr.read())
        inside = ("nsenter", "--target", str(holder.pid), *users, "--mount", "--preserve-credentials", "--wd")
        yield inside
        holder.stdin.close()
