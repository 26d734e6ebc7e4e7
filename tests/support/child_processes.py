"""The processes of this machine, by /proc: neither `ps` nor `pgrep` is needed. Imports nothing of calyapp."""

from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """The living children of a process by their ids; empty if there is no such process."""
    return sorted(int(process.name) for process in _processes() if _parent(process) == pid)


def is_alive(pid: int) -> bool:
    """Whether the process still runs. In a container whose first process adopts nobody, it stays listed afterwards."""
    return _parent(Path(f"/proc/{pid}")) is not None


def command_lines() -> list[str]:
    """What every process was started with, as others can read it."""
    lines = []
    for process in _processes():
        with suppress(OSError):  # it has ended meanwhile
            lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _parent(process: Path) -> int | None:
    try:
        state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]  # a name may hold anything
    except OSError:
        return None
    return None if state == "Z" else int(parent)
