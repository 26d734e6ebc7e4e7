"""A small file system that only some processes see, for tests of a full disk. Needs no right to mount."""

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
    """Mounts a file system of this size ("8m") at the existing `folder`. Yields the prefix of commands that see it.

    It is in its own mount namespace, in which an ordinary user may mount, and disappears with the last process there.
    Skips the test if the system forbids such namespaces, as many containers do.
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
