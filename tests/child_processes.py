"""Whom a process has started. Imports nothing of calyapp."""

import subprocess


def children(pid: int) -> list[int]:
    """Its living children, the oldest first; none if there is no such process."""
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]
