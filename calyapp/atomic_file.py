"""Writes a file as a whole: a reader, and a restart after a power failure, finds the old content or the new one."""

import os
from pathlib import Path


def write(path: Path, content: bytes, mode: int) -> None:
    """Replaces the file at `path`, which then has these permissions (less the umask). Raises `OSError`.

    If that fails, the old file stays. Concurrent writes by several processes are safe: the last one stays. Threads of
    one process must take turns.
    """
    # The process id makes the name unique among processes. The file must lie in the same folder, because a rename is
    # atomic only within one file system, and must be synced before it, or a power failure can leave an empty file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
