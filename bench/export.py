"""What it costs to export a million audit entries: how much the worker grows meanwhile, and how many go a second.

`python bench/export.py [ENTRIES]`; one worker, on a server of its own, over loopback without nginx.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import sample_records  # noqa: E402 — found only once the path is set
from raw_http import free_port  # noqa: E402 — the same
from running_server import Server, eventually  # noqa: E402 — the same

from calyapp.embedded import server  # noqa: E402 — the same

ENTRIES = 1_000_000
_PIECE = 1 << 20
_ENTRIES = """
INSERT INTO audit_logs (id, created_at, event_type, severity, status, client_id, call_id, description, resource,
                        resource_id, ip_address, user_agent, request_id, metadata)
SELECT gen_random_uuid(), now() - n * interval '1 millisecond', 'CALL_STATUS_CHANGED', 'LOW', 'success', clients.id,
       gen_random_uuid(), 'Call status reported', 'call', gen_random_uuid()::text, '203.0.113.7', 'Exotel',
       '1700000000000-abcdefghi',
       jsonb_build_object('route', 'call-status', 'callSid', 'call-' || n, 'digest', repeat(md5(n::text), 2))
FROM clients, generate_series(1, %s) AS n
"""
_WAYS = (("ndjson", "identity"), ("ndjson", "gzip"), ("csv", "identity"), ("csv", "gzip"))


def main(entries: int) -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder) / "data") as url:
        environment = {**os.environ, "APP_ENV": "testing", "FLASK_APP": "wsgi", "DATABASE_URL": url, "TMPDIR": folder}
        environment |= {"SPOOL_DIR": f"{folder}/spool", "BIND": f"127.0.0.1:{free_port()}", "WEB_CONCURRENCY": "1"}
        _fill(url, entries, environment)
        table = _measure(entries, environment, Path(folder))
    print(table)  # noqa: T201 — the table is what was asked for


def _fill(url: str, entries: int, environment: dict[str, str]) -> None:
    upgrade = [sys.executable, "-m", "alembic", "-c", "setup.cfg", "upgrade", "head"]
    subprocess.run(upgrade, cwd=ROOT, env=environment, check=True)  # noqa: S603 — our own command
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        sample_records.fill(lambda sql, *values: cursor.execute(sql, values or None) or [], 1)
        cursor.execute(_ENTRIES, (entries,))
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def _measure(entries: int, environment: dict[str, str], folder: Path) -> str:
    lines = [f"{'':<18}{'entries/s':>10}{'MB':>7}{'growth MB':>11}"]
    for form, encoding in _WAYS:
        with (folder / "server.log").open("ab") as log:
            gunicorn = [sys.executable, "-m", "gunicorn", "wsgi:app"]
            process = subprocess.Popen(  # noqa: S603 — our own command
                gunicorn, cwd=ROOT, env=environment, stderr=log
            )
        server = Server(process, int(environment["BIND"].rpartition(":")[2]), environment, folder / "server.log")
        try:
            eventually(lambda: _is_up(server))  # noqa: B023 — asked before the next turn
            seconds, size, growth = _export(server, form, encoding)
        finally:
            server.stop()
        rate = f"{entries / seconds:,.0f}"
        lines.append(f"{form:<8}{encoding:<10}{rate:>10}{size / 1e6:>7.0f}{growth / 1e3:>11.1f}")
    return "\n".join(lines)


def _is_up(server: Server) -> bool:
    try:
        return server.ask("GET", "/health/ready")[0] == 200
    except OSError:
        return False


def _export(server: Server, form: str, encoding: str) -> tuple[float, int, int]:
    """Seconds, bytes on the wire, and by how many kB the worker was ever larger than after one page of the list."""
    key = server.cli("keys", "create", "--name", "Bench", "--role", "auditor")["key"]
    connection, headers = server.connect(), {"Authorization": f"Bearer {key}", "Accept-Encoding": encoding}
    connection.request("GET", "/api/audit/events?limit=1", headers=headers)
    connection.getresponse().read()
    (worker,) = server.workers()
    before = _kilobytes(worker, "VmRSS")
    Path(f"/proc/{worker}/clear_refs").write_text("5")  # the peak is that of now
    began, size = time.perf_counter(), 0
    connection.request("GET", f"/api/audit/export?format={form}", headers=headers)
    answer = connection.getresponse()
    while piece := answer.read(_PIECE):
        size += len(piece)
    seconds = time.perf_counter() - began
    connection.close()
    return seconds, size, _kilobytes(worker, "VmHWM") - before


def _kilobytes(pid: int, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ENTRIES)
