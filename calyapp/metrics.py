"""The catalogue: every metric with its labels and a sentence, and what all workers together have counted.

Label values come from closed sets: never a client, a number, a path or anything else that a stranger chooses.
"""

import os
import time
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from calyapp import metric_slots

_IMPORTED_AT = time.time()
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# Before the first metric, which takes its storage from here when it is constructed.
_SHARED = metric_slots.share_files()
_REGISTRY = CollectorRegistry()
# The shared files do not hold these series; so one worker and many show the same.
disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated there

HTTP_REQUESTS = Counter(
    "caly_http_requests_total",
    "HTTP requests answered. The caller folds unknown methods into one.",
    ["endpoint", "method", "status"],
    registry=_REGISTRY,
)
HTTP_REQUEST_SECONDS = Histogram(
    "caly_http_request_seconds",
    "Time from a request's arrival to its answer, in seconds.",
    ["endpoint"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    registry=_REGISTRY,
)
HTTP_SLOW_REQUESTS = Counter(
    "caly_http_slow_requests_total",
    "HTTP requests that took longer than one second.",
    registry=_REGISTRY,
)
RATE_LIMIT_EXCEEDED = Counter(
    "caly_rate_limit_exceeded_total",
    "Requests refused because their profile's limit was used up.",
    ["profile"],
    registry=_REGISTRY,
)
RATE_LIMIT_FALLBACKS = Counter(
    "caly_rate_limit_fallbacks_total",
    "Requests that a worker counted for itself, because the limits' storage was away or slow.",
    registry=_REGISTRY,
)
PASSWORD_VERIFICATIONS = Counter(
    "caly_password_verifications_total",
    "Passwords compared with a hash: one for every attempt to sign in, whether the user exists or not.",
    registry=_REGISTRY,
)
DELIVERIES = Counter(
    "caly_deliveries_total",
    "Webhook deliveries by what became of them: new, repeat, rejected, spooled (the database was away or slow), "
    "deferred (over the client's limit) or quarantined. Those replayed from the spool count again, as new or repeat.",
    ["route", "result"],
    registry=_REGISTRY,
)
DB_CONNECTIONS = Gauge(
    "caly_db_connections",
    "Connections to PostgreSQL: open (idle ones included) and in_use.",
    ["state"],
    multiprocess_mode="livesum",
    registry=_REGISTRY,
)
DB_BREAKER_OPEN = Gauge(
    "caly_db_breaker_open",
    "Workers that have given the database up for now: their deliveries go to the spool.",
    multiprocess_mode="livesum",
    registry=_REGISTRY,
)
SPOOL_FRAMES = Gauge(
    "caly_spool_frames",
    "Deliveries on the spool of this host: waiting for their replay, and quarantined.",
    ["state"],
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_OLDEST_SECONDS = Gauge(
    "caly_spool_oldest_seconds",
    "Age of the oldest delivery that waits on the spool, in seconds.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_BYTES = Gauge(
    "caly_spool_bytes",
    "What the spool takes on disk, in bytes.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_REPLAYED = Counter(
    "caly_spool_replayed_total",
    "Deliveries replayed from the spool, by what became of them: recorded or quarantined.",
    ["result"],
    registry=_REGISTRY,
)
# At zero from the start: a worker's gauges are there before it used its first connection.
for _state in ("open", "in_use"):
    DB_CONNECTIONS.labels(_state)
for _state in ("waiting", "quarantined"):
    SPOOL_FRAMES.labels(_state)
for _result in ("recorded", "quarantined"):
    SPOOL_REPLAYED.labels(_result)


def collect() -> list[Metric]:
    """Every metric, all workers together; the gauges of live workers only."""
    return list(_REGISTRY.collect()) if _SHARED is None else _SHARED.merged()


def prometheus_text() -> bytes:
    """What `collect` finds, in Prometheus's text format."""
    return generate_latest(_AllWorkers())


def leave() -> None:
    """This process counts no more: the next worker takes its place. For a parent, before it forks."""
    if _SHARED is not None:
        _SHARED.forget()


def workers() -> list[int]:
    """Process ids of the live workers."""
    return [os.getpid()] if _SHARED is None else list(_SHARED.holders().values())


def resident_bytes() -> int:
    """Resident memory of all live workers; pages they share count once for each."""
    return sum(map(_resident_bytes, workers()))


def started_at() -> float:
    """Unix time at which the service started; a recycled worker does not change it."""
    return _IMPORTED_AT if _SHARED is None else _SHARED.started_at


class _AllWorkers(Collector):
    """The reading above, in the shape that the library's exposition wants."""

    def collect(self) -> list[Metric]:
        return collect()


def _resident_bytes(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended since it was listed
    return int(pages) * _PAGE_BYTES
