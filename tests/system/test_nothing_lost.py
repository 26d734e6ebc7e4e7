"""Sends calls while PostgreSQL crashes and workers are killed: nothing acknowledged is lost, duplicated or wrong.

CHAOS_SECONDS sets the duration (10). With `pytest -s` it prints the measurements.
"""

import math
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import pytest
from postgres_server import PostgresServer
from reconciliation import Discrepancies, Reconciliation
from running_server import Server
from traffic import Attempt, Traffic

SECONDS = float(os.environ.get("CHAOS_SECONDS", "10"))
RATE = 120  # deliveries a second
WORKERS = 4
OUTAGES = 5
KILLS = 20
STREAM_BASE_URL = "wss://media.example.com"


@dataclass(frozen=True, slots=True)
class Outage:
    """The times at which PostgreSQL was killed and started again, in seconds since the epoch."""

    began: float
    ended: float


@pytest.mark.timeout(300 + SECONDS)
@pytest.mark.parametrize("postgres", [{"durable": True}], indirect=True)
def test_nothing_acknowledged_is_lost_duplicated_or_wrong(serve, tenant, postgres):
    postgres.set("track_commit_timestamp", "on")  # shows which deliveries were written late, and how late
    postgres.stop("fast")
    postgres.start()
    beforehand = serve(DATABASE_URL=postgres.url)
    tenants = [tenant(beforehand, f"+91804711234{n}") for n in range(3)]
    beforehand.stop()
    server = serve(
        *("--workers", str(WORKERS), "--keep-alive", "75"),
        DATABASE_URL=postgres.url,
        RATELIMIT_WEBHOOK="1000000/minute",
        STREAM_BASE_URL=STREAM_BASE_URL,
        WEBHOOK_AUTH="required",
    )
    traffic = Traffic(server, tenants, rate=RATE)

    traffic.start()
    outages = _chaos(server, postgres)
    traffic.stop()
    _wait_until_drained(server)

    discrepancies = Reconciliation(postgres.query, traffic.attempts, STREAM_BASE_URL).discrepancies()
    _report(_figures(traffic, postgres, outages, discrepancies))
    assert discrepancies.all == []
    assert traffic.sent == traffic.acknowledged
    assert {attempt.status for attempt in _starts(traffic.attempts)} - {None} == {200}
    assert [attempt for attempt in traffic.attempts if attempt.timed_out] == []
    # A worker that dies breaks its connections: at most one for each thread.
    assert sum(attempt.status is None for attempt in traffic.attempts) <= KILLS * traffic.threads
    assert sum(attempt.acknowledged for attempt in traffic.attempts) >= 100 * SECONDS


# ---- Faults ----


def _chaos(server: Server, postgres: PostgresServer) -> list[Outage]:
    """Crashes PostgreSQL repeatedly, each time for more than half of the interval, and kills workers throughout."""
    outages, began_at = [], []
    share = SECONDS / OUTAGES

    def crash() -> None:
        began_at.append(time.time())
        postgres.stop("immediate")

    def recover() -> None:
        outages.append(Outage(began_at[-1], time.time()))
        postgres.start()

    plan: list[tuple[float, Callable[[], None]]] = []
    for number in range(OUTAGES):
        plan += [((number + 0.2) * share, crash), ((number + 0.9) * share, recover)]
    chance = Random(KILLS)
    plan += [(SECONDS * (number + chance.random()) / KILLS, lambda: _kill_a_worker(server)) for number in range(KILLS)]

    began = time.monotonic()
    for moment, act in sorted(plan, key=lambda step: step[0]):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        act()
    return outages


def _kill_a_worker(server: Server) -> None:
    """Kills the oldest worker, which has had time to open connections, as soon as another one can answer."""
    assert server.ask("GET", "/health/live")[0] == 200
    with suppress(ProcessLookupError):  # it ended after it was listed
        os.kill(server.workers()[0], signal.SIGKILL)


def _wait_until_drained(server: Server) -> None:
    deadline = time.monotonic() + 120
    while (status := server.cli("spool", "status"))["depth"]:
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    assert status["quarantined"] == 0


# ---- Measurements, without assertions ----

# When each delivery arrived, and when it was committed.
_LATE = """
SELECT extract(epoch FROM created_at)::float, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float
FROM audit_logs WHERE metadata ? 'digest'
"""


def _figures(traffic: Traffic, postgres: PostgresServer, outages: list[Outage], discrepancies: Discrepancies) -> dict:
    written = postgres.query(_LATE)
    nexts = [*(outage.began for outage in outages[1:]), math.inf]
    drained = [_drained(outage, until, written) for outage, until in zip(outages, nexts, strict=True)]
    rates = [len(late) / (late[-1] - late[0]) for late in drained if late and late[-1] > late[0]]
    starts = list(_starts(traffic.attempts))
    dark = [attempt for attempt in starts if any(_within(outage, attempt) for outage in outages)]
    return {
        "seconds": SECONDS,
        "deliveries sent": len(traffic.sent),
        "deliveries acknowledged": len(traffic.acknowledged),
        "attempts": len(traffic.attempts),
        "connections broken": sum(attempt.status is None for attempt in traffic.attempts),
        "lost": len(discrepancies.lost),
        "doubled": len(discrepancies.doubled),
        "wrong": len(discrepancies.wrong),
        "call-start p50 ms": _percentile(starts, 0.5),
        "call-start p99 ms": _percentile(starts, 0.99),
        "call-starts while PostgreSQL is down": len(dark),
        "call-start p50 ms, PostgreSQL down": _percentile(dark, 0.5),
        "call-start p99 ms, PostgreSQL down": _percentile(dark, 0.99),
        "deliveries drained": sum(map(len, drained)),
        "drained per second (median outage)": round(statistics.median(rates)) if rates else None,
        "first drained s after PostgreSQL's start": round(statistics.median(late[0] for late in drained if late), 2),
        "last drained s after its last start": round(drained[-1][-1], 2) if drained[-1] else None,
    }


def _starts(attempts: Iterable[Attempt]) -> Iterable[Attempt]:
    return (attempt for attempt in attempts if attempt.delivery.route == "call-start")


def _within(outage: Outage, attempt: Attempt) -> bool:
    """Returns whether the attempt was sent during the outage, after the second in which breakers open."""
    return outage.began + 1 <= attempt.sent_at <= outage.ended


def _drained(outage: Outage, until: float, written: list[tuple[float, float]]) -> list[float]:
    """Returns when the deliveries of the outage were written, in seconds after PostgreSQL's start, sorted."""
    return sorted(at - outage.ended for arrived, at in written if arrived < outage.ended < at < until)


def _percentile(attempts: Iterable[Attempt], share: float) -> float | None:
    """Returns the percentile of the answered attempts, by nearest rank, in milliseconds."""
    ordered = sorted(attempt.seconds * 1000 for attempt in attempts if attempt.status)
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 1) if ordered else None


def _report(figures: dict) -> None:
    print("\n" + "\n".join(f"{name:<40} {value!s:>10}" for name, value in figures.items()))  # noqa: T201 — for `-s`
