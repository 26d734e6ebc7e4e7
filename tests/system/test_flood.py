"""Tests a client that sends twenty times its limit: it loses nothing, and no other client is delayed.

FLOOD_SECONDS sets the duration (3). With `pytest -s` it prints the measurements.
"""

import math
import os
import time
from collections.abc import Iterable

import pytest
from reconciliation import Reconciliation
from running_server import eventually
from traffic import Attempt, Traffic, starts

SECONDS = float(os.environ.get("FLOOD_SECONDS", "3"))
LIMIT = 1000  # a minute
# Thirty seconds at this rate are ten times the limit of a minute: the most that is not refused.
FLOOD = 20 * LIMIT / 60 * 0.99
STREAM_BASE_URL = "wss://media.example.com"


@pytest.mark.timeout(300 + 10 * SECONDS)
def test_a_flood_loses_nothing_and_delays_no_other_client(serve, tenant, redis_server, query):
    limits = {"RATELIMIT_STORAGE_URI": redis_server.url, "RATELIMIT_WEBHOOK": f"{LIMIT}/minute"}
    server = serve("--workers", "2", "--keep-alive", "75", STREAM_BASE_URL=STREAM_BASE_URL, **limits)
    loud, quiet = tenant(server, "+918047112341"), tenant(server, "+918047112342")

    before = Traffic(server, [quiet], rate=10, threads=2, seed=1, kind=starts)
    _play(before)
    flood = Traffic(server, [loud], rate=FLOOD, threads=8, seed=2, kind=starts)
    during = Traffic(server, [quiet], rate=10, threads=2, seed=3, kind=starts)
    _play(flood, during)
    deferred = server.ask("GET", "/health/metrics")[1]["deliveries"]["call-start"].get("deferred", 0)
    began = time.monotonic()
    eventually(lambda: server.cli("spool", "status")["depth"] == 0, seconds=120 + 5 * SECONDS)

    _report(before, during, flood, deferred, time.monotonic() - began)
    everything = [*before.attempts, *during.attempts, *flood.attempts]
    assert {attempt.status for attempt in everything} == {200}
    assert deferred == max(0, len(flood.sent) - LIMIT)
    assert Reconciliation(query, everything, STREAM_BASE_URL).discrepancies().all == []


def _play(*traffics: Traffic) -> None:
    for traffic in traffics:
        traffic.start()
    time.sleep(SECONDS)
    for traffic in traffics:
        traffic.stop()


def _report(before: Traffic, during: Traffic, flood: Traffic, deferred: int, seconds: float) -> None:
    quiet, flooded = _p95(before.attempts), _p95(during.attempts)
    figures = {
        "seconds": SECONDS,
        "flood, deliveries": len(flood.sent),
        "flood, deferred": deferred,
        "another client's p95 ms, quiet": quiet,
        "another client's p95 ms, during the flood": flooded,
        "ratio": round(flooded / quiet, 2),
        "seconds until all is recorded": round(seconds, 1),
    }
    for name, figure in figures.items():
        print(f"{name:<45} {figure:>10}")  # noqa: T201 — read with `pytest -s`


def _p95(attempts: Iterable[Attempt]) -> float:
    seconds = sorted(attempt.seconds for attempt in attempts)
    return round(seconds[math.ceil(0.95 * len(seconds)) - 1] * 1000, 1)
