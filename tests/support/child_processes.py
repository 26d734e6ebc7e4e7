"""Lists the processes of this machine from /proc, without `ps` or `pgrep`. Imports nothing of calyapp."""

from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """Returns the ids of the running children of a process, or an empty list if the process does not exist."""
    return sorted(int(process.name) for process in _processes() if _parent(process) == pid)


def is_alive(pid: int) -> bool:
    """Returns whether the process runs. A zombie, which stays in /proc until it is reaped, does not run."""
    return _parent(Path(f"/proc/{pid}")) is not None


def command_lines() -> list[str]:
    """Returns the command line of every process, as other users can read it."""
    lines = []
    for process in _processes():
        with suppress(OSError):  # it ended after it was listed
            lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _parent(process: Path) -> int | None:
    try:
        state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]  # a name may contain ")"
    except OSError:
        return None
    return None if state == "Z" else int(parent)
