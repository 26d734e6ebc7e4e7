"""What reading costs the deliveries: its indexes and counts, revision by revision, on one connection, in turn.

Medians of interleaved runs, without waiting for a disk: the ratio is the result, and with a disk it is nearer to 1.
`python bench/ingest.py [REVISION…]`; the first is what the others are compared with.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from statistics import median
from uuid import uuid4

import sqlalchemy

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import processor  # noqa: E402 — found only once the path is set

from calyapp import clock, services  # noqa: E402 — the same
from calyapp.calls.event import CallEvent  # noqa: E402 — the same
from calyapp.config import Settings  # noqa: E402 — the same
from calyapp.embedded import server  # noqa: E402 — the same
from calyapp.exotel import payload  # noqa: E402 — the same
from calyapp.simulation import scenarios  # noqa: E402 — the same
from calyapp.simulation.scenarios import Scenario  # noqa: E402 — the same
from calyapp.web.pipeline import request_id  # noqa: E402 — the same

REVISIONS = ("0002", "0004", "0005", "0006")
ROUNDS, CALLS = 12, 250
CLIENTS = [uuid4() for _ in range(50)]


@dataclass(frozen=True, slots=True)
class Taken:
    """Microseconds of a delivery: all of it, and the server's own work."""

    all: float
    server: float


def main(revisions: Sequence[str]) -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder) / "data", durable=False) as url:
        table = _table(_measure({revision: _parts(url, revision, Path(folder)) for revision in revisions}))
    print(table)  # noqa: T201 — the table is what was asked for


def _parts(url: str, revision: str, folder: Path) -> services.Services:
    """A process's parts over a database at the revision."""
    database = url.replace("/caly?", f"/at_{revision}?")
    server = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE at_{revision}")
    server.dispose()
    settings = {
        "APP_ENV": "testing",
        "DATABASE_URL": database,
        "SPOOL_DIR": str(folder / revision),
        "DB_MAX_USES": "100000",
    }
    command = [sys.executable, "-m", "alembic", "-c", "setup.cfg", "upgrade", revision]
    subprocess.run(command, cwd=ROOT, env=os.environ | settings, check=True)  # noqa: S603 — our own
    return services.build(Settings.from_env(settings))


def _measure(databases: dict[str, services.Services]) -> dict[str, list[Taken]]:
    """What a delivery took in each round, by revision; the first round warms up."""
    seen: dict[str, list[Taken]] = {revision: [] for revision in databases}
    for round_ in range(ROUNDS + 1):
        for revision, parts in databases.items():
            seen[revision].append(_deliver(parts, list(_deliveries(round_))))
    for parts in databases.values():
        parts.close()
    return {revision: taken[1:] for revision, taken in seen.items()}


def _deliver(parts: services.Services, events: Sequence[CallEvent]) -> Taken:
    busy, began = processor.busy(parts.database.ingest), time.perf_counter()
    for event in events:
        parts.recorder.record(event)
    each = len(events) / 1e6
    return Taken((time.perf_counter() - began) / each, (processor.busy(parts.database.ingest) - busy) / each)


def _deliveries(round_: int) -> Iterator[CallEvent]:
    """Those of calls of every kind, one call after the other, each of another client."""
    chance = Random(round_)  # noqa: S311  # nosec B311 # calls, not secrets
    for number in range(CALLS):
        began = clock.now() - timedelta(minutes=1)
        call = scenarios.call(
            list(Scenario)[number % len(Scenario)], "+918047112345", "https://caly.example", began, chance
        )
        for delivery in call.deliveries:
            moment = clock.now()
            arrival = payload.Arrival(at=moment, audit_id=clock.uuid7(moment), request_id=request_id.mint())
            yield payload.load(delivery.route, delivery.pairs, arrival, CLIENTS[number % len(CLIENTS)])


def _table(found: dict[str, list[Taken]]) -> str:
    lines = [f"{'revision':<10}{'µs a delivery':>15}{'deliveries/s':>14}{'ratio':>7}{'server, µs':>12}{'ratio':>7}"]
    first = next(iter(found.values()))
    for revision, taken in found.items():
        whole, server = median(one.all for one in taken), median(one.server for one in taken)
        ratio = median(mine.all / theirs.all for mine, theirs in zip(taken, first, strict=True))
        server_ratio = median(mine.server / theirs.server for mine, theirs in zip(taken, first, strict=True))
        lines.append(
            f"{revision:<10}{whole:>15.0f}{1e6 / whole:>14.0f}{ratio:>7.2f}{server:>12.0f}{server_ratio:>7.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:] or REVISIONS)
