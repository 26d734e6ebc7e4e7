"""The cost of pages of the audit log at every depth, and of its statistics, with two million entries of 50 clients.

The entries cover six months. They are inserted before the indexes and counts exist, so that the migrations are
measured too. `python bench/audit_pages.py [ENTRIES]`; one client has six entries of ten, for deep pages.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

from sqlalchemy import text

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import plans  # noqa: E402 — found only once the path is set
import processor  # noqa: E402 — the same

from calyapp import clock, services  # noqa: E402 — the same
from calyapp.audit.count_store import EventCounts  # noqa: E402 — the same
from calyapp.config import Settings  # noqa: E402 — the same
from calyapp.db import partitions, tenancy  # noqa: E402 — the same
from calyapp.db.engine import Pool  # noqa: E402 — the same
from calyapp.db.keyset import Place  # noqa: E402 — the same
from calyapp.db.tables import audit_logs  # noqa: E402 — the same
from calyapp.db.tenancy import Tenant  # noqa: E402 — the same
from calyapp.embedded import server  # noqa: E402 — the same

ENTRIES = 2_000_000
LIMIT, RUNS = 100, 15
SPAN = timedelta(days=150)
CLIENT = UUID("00000000-0000-0000-0000-000000000001")
# The newest first; one in a hundred tells of something refused.
FILL = text("""
INSERT INTO audit_logs (id, created_at, event_type, severity, status, client_id, call_id, description, resource,
                        resource_id, ip_address, request_id, metadata)
SELECT gen_random_uuid(), now() - n * CAST(:step AS interval),
       CASE WHEN refused THEN 'WEBHOOK_REJECTED' ELSE types[n % 4 + 1] END,
       CASE WHEN refused THEN 'MEDIUM' ELSE 'LOW' END, CASE WHEN refused THEN 'failure' ELSE 'success' END,
       CAST('00000000-0000-0000-0000-' || lpad(CAST(client AS text), 12, '0') AS uuid), CAST(call AS uuid),
       'Delivery received', 'call', call, '203.0.113.7', 1790000000000 - n || '-' || left(call, 12),
       jsonb_build_object('digest', md5(call) || call)
FROM (SELECT n, n % 100 = 99 AS refused, CASE WHEN n % 10 < 6 THEN 1 ELSE n / 10 % 49 + 2 END AS client,
             md5('call' || n / 4) AS call,
             ARRAY['CALL_STARTED', 'CALL_STATUS_CHANGED', 'CALL_ENDED', 'DELIVERY_RECEIVED'] AS types
      FROM generate_series(1, :entries) AS n) AS entries
""").execution_options(name="fill_the_trail")


def main(entries: int) -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder) / "data", durable=False) as url:
        table = "\n".join(_measure(entries, url, folder))
    print(table)  # noqa: T201 — the table is what was asked for


def _measure(entries: int, url: str, folder: str) -> Iterator[str]:
    settings = {"APP_ENV": "testing", "DATABASE_URL": url, "SPOOL_DIR": folder, "DB_STATEMENT_TIMEOUT": "900000"}
    _migrate(settings, "0004")
    parts = services.build(Settings.from_env(settings))
    pool = parts.database.records
    _fill(pool, entries)
    yield f"{'migration to its indexes, s':<44}{_seconds(lambda: _migrate(settings, '0005')):>8.1f}"
    yield f"{'migration to its counts, s':<44}{_seconds(lambda: _migrate(settings, '0006')):>8.1f}"
    yield f"{'fold, ms':<44}{_seconds(parts.event_counts.fold) * 1000:>8.1f}"
    with pool.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    yield f"\n{'pages of ' + str(LIMIT):<34}{'buffers':>10}{'executed, ms':>14}{'planned, ms':>14}"
    for name, tenant in (("one client", CLIENT), ("all", tenancy.ALL)):
        for page in (1, 100, entries // 2 // LIMIT):
            yield _page(pool, tenant, name, page)
    yield ""
    for name, tenant in (("one client", CLIENT), ("all", tenancy.ALL)):
        yield f"{f'statistics of 30 days, {name}, ms of server':<44}{_statistics(pool, tenant):>8.1f}"
    parts.close()


def _migrate(settings: dict[str, str], revision: str) -> None:
    command = [sys.executable, "-m", "alembic", "-c", "setup.cfg", "upgrade", revision]
    subprocess.run(command, cwd=ROOT, env=os.environ | settings, check=True)  # noqa: S603 — our own


def _fill(pool: Pool, entries: int) -> None:
    with pool.transaction() as connection:
        for earlier in (SPAN, SPAN / 2):
            partitions.ensure(connection, clock.now() - earlier)
        connection.execute(FILL, {"entries": entries, "step": SPAN / entries})


def _page(pool: Pool, tenant: Tenant, name: str, page: int) -> str:
    after = _place(pool, tenant, (page - 1) * LIMIT)
    runs = [plans.explained(pool, audit_logs, tenant, {}, after, LIMIT + 1) for _ in range(RUNS)]
    buffers = median(run["Plan"]["Shared Hit Blocks"] + run["Plan"]["Shared Read Blocks"] for run in runs)
    executed, planned = (median(run[f"{what} Time"] for run in runs) for what in ("Execution", "Planning"))
    return f"{f'{name}, page {page}':<34}{buffers:>10.0f}{executed:>14.2f}{planned:>14.2f}"


def _place(pool: Pool, tenant: Tenant, rows: int) -> Place | None:
    """Reads a page after so many rows by OFFSET, for comparison."""
    if rows == 0:
        return None
    sql = "SELECT created_at, id FROM audit_logs {} ORDER BY created_at DESC, id DESC OFFSET :rows LIMIT 1"
    chosen = text(sql.format("" if tenant == tenancy.ALL else f"WHERE client_id = '{tenant}'"))
    with pool.connection() as connection:
        row = connection.execute(chosen, {"rows": rows - 1}).one()
    return Place(row.created_at, row.id)


def _statistics(pool: Pool, tenant: Tenant) -> float:
    """Returns the server's milliseconds for a read that is not cached."""
    until = clock.now().date() + timedelta(days=1)
    began = processor.busy(pool)
    for _ in range(RUNS):
        EventCounts(pool).read(tenant, None, until - timedelta(days=30), until)
    return (processor.busy(pool) - began) / RUNS * 1000


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ENTRIES)
