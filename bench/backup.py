"""How long a backup and its restoration take, and how large it is: 100 000 calls with all that belongs to them.

Compares all rows afterwards. `python bench/backup.py [CALLS]`; on a server of its own with fsync on.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import sample_records  # noqa: E402 — found only once the path is set

from calyapp.embedded import server  # noqa: E402 — the same

CALLS = 100_000
AFTERWARDS = "event_type ~ 'BACKUP|RESTORED'"


def main(calls: int) -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder) / "data") as url:
        table = _measure(calls, url, Path(folder))
    print(table)  # noqa: T201 — the table is what was asked for


def _measure(calls: int, url: str, folder: Path) -> str:
    caly = _commands(url, folder)
    caly("alembic", "-c", "setup.cfg", "upgrade", "head")
    query = _query(url)
    sample_records.fill(query, calls)
    query("VACUUM ANALYZE")
    query("CREATE DATABASE copy")
    copy = url.replace("/caly?", "/copy?")
    backup, backup_seconds = _timed(lambda: json.loads(caly("flask", "caly", "backup", str(folder / "b"), "--json")))
    restored, restore_seconds = _timed(
        lambda: json.loads(caly("flask", "caly", "restore", backup["file"], "--into", copy, "--json"))
    )
    same = sample_records.fingerprints(query, AFTERWARDS) == sample_records.fingerprints(_query(copy), AFTERWARDS)
    ((size,),) = query("SELECT pg_database_size('caly')")
    rows = {
        "calls, deliveries, audit entries": f"{restored['calls']}, {restored['deliveries']}, {restored['audit_logs']}",
        "database, MB": f"{size / 1e6:.0f}",
        "backup, MB": f"{backup['bytes'] / 1e6:.0f}",
        "backup, s": f"{backup_seconds:.1f} (the command's start included)",
        "restore, s": f"{restore_seconds:.1f} (the same; indexes, statistics and counts included)",
        "all rows the same": "yes" if same else "NO",
    }
    return "\n".join(f"{name:<34}{value}" for name, value in rows.items())


def _commands(url: str, folder: Path) -> Callable[..., str]:
    settings = {"APP_ENV": "testing", "FLASK_APP": "wsgi", "DATABASE_URL": url, "SPOOL_DIR": str(folder / "spool")}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(  # noqa: S603 — our own commands
            command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    return run


def _timed(work: Callable[[], dict]) -> tuple[dict, float]:
    began = time.monotonic()
    return work(), time.monotonic() - began


def _query(url: str) -> sample_records.Query:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True

    def run(sql: str, *values: object) -> list[tuple]:
        with connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    return run


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)
