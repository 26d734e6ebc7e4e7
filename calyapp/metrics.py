"""The catalogue: every metric with its labels and a sentence, and what all workers together have counted.

Label values come from closed sets: never a client, a number, a path or anything else that a stranger chooses.
"""

import os
import time
from collections.abc import Sequence
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
from prometheus_client.metrics import MetricWrapperBase
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
RATE_LIMIT_HITS = Counter(
    "caly_rate_limit_hits_total",
    "Requests counted against the limit of their profile: login, api, webhook or upload.",
    ["profile"],
    registry=_REGISTRY,
)
RATE_LIMIT_EXCEEDED = Counter(
    "caly_rate_limit_exceeded_total",
    "Requests over the limit of their profile; deliveries among them are deferred up to ten times the limit.",
    ["profile"],
    registry=_REGISTRY,
)
RATE_LIMIT_FALLBACKS = Counter(
    "caly_rate_limit_fallbacks_total",
    "Requests that a worker counted for itself, because the limits' storage was away or slow.",
    registry=_REGISTRY,
)
ANOMALIES = Counter(
    "caly_anomalies_total",
    "Requests that look like an attack, by the pattern that they show; they are answered like any other.",
    ["pattern"],
    registry=_REGISTRY,
)
ANOMALY_FAILURES = Counter(
    "caly_anomaly_failures_total",
    "Requests that could not be examined for attacks; they are answered all the same.",
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
LOGIN_FAILURES = Counter(
    "caly_login_failures_total",
    "Attempts to sign in with a wrong address or password.",
    registry=_REGISTRY,
)
CALLS_ENDED = Counter(
    "caly_calls_ended_total",
    "Calls that ended, by outcome: answered, voicemail, rejected, missed, abandoned, failed or unknown. One whose "
    "outcome later news change counts again; so may one of which two deliveries arrive at the same moment.",
    ["outcome"],
    registry=_REGISTRY,
)
DIRECTORY_REFRESHED = Gauge(
    "caly_directory_refreshed_timestamp_seconds",
    "When the worker longest behind last read the directory of clients (Unix time).",
    multiprocess_mode="livemin",
    registry=_REGISTRY,
)
DB_CONNECTIONS = Gauge(
    "caly_db_connections",
    "Connections to PostgreSQL of the pool for deliveries (ingest) and that for everything else (records): open (idle "
    "ones included) and in_use.",
    ["pool", "state"],
    multiprocess_mode="livesum",
    registry=_REGISTRY,
)
DB_CONNECTIONS_LIMIT = Gauge(
    "caly_db_connections_limit",
    "Connections that the pools of all workers may open.",
    ["pool"],
    multiprocess_mode="livesum",
    registry=_REGISTRY,
)
DB_CONNECTION_WAIT_SECONDS = Histogram(
    "caly_db_connection_wait_seconds",
    "Time until a connection was handed out, in seconds: to open one, or to wait for a free one, also in vain.",
    ["pool"],
    buckets=(0.001, 0.01, 0.1, 0.5, 1.0, 10.0),
    registry=_REGISTRY,
)
DB_STATEMENT_SECONDS = Histogram(
    "caly_db_statement_seconds",
    "Time that a statement took, by its name, in seconds; those that failed included.",
    ["statement"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0),
    registry=_REGISTRY,
)
DB_SLOW_STATEMENTS = Counter(
    "caly_db_slow_statements_total",
    "Statements that took longer than half a second, by name.",
    ["statement"],
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
    "Age of the oldest delivery that waits on the spool, in seconds, by its reason: away (the database could not take "
    "it) or deferred (over the client's limit).",
    ["lane"],
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_BYTES = Gauge(
    "caly_spool_bytes",
    "What the spool takes on disk, in bytes.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_LIMIT_BYTES = Gauge(
    "caly_spool_limit_bytes",
    "What the spool may take on disk, in bytes.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_REPLAYED = Counter(
    "caly_spool_replayed_total",
    "Deliveries replayed from the spool, by what became of them: recorded or quarantined.",
    ["result"],
    registry=_REGISTRY,
)
SCAN_TIMESTAMP = Gauge(
    "caly_scan_timestamp_seconds",
    "When the last vulnerability scan began (Unix time); 0 before the first.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SCAN_VERDICT = Gauge(
    "caly_scan_verdict",
    "One for the verdict of the last vulnerability scan, 0 for the others: passed, warning, incomplete, failed.",
    ["verdict"],
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SCAN_FINDINGS = Gauge(
    "caly_scan_findings",
    "Known weaknesses that the last vulnerability scan found in the requirements, by severity.",
    ["severity"],
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
BACKUP_TIMESTAMP = Gauge(
    "caly_backup_timestamp_seconds",
    "When the last complete backup was finished (Unix time); 0 if there is none of the last 30 days.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
BACKUP_FAILED = Gauge(
    "caly_backup_failed",
    "Whether the last backup failed, or began more than six hours ago and did not end: 1 or 0.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
# At zero from the start: a worker's gauges are there before it used its first connection.
for _pool in ("ingest", "records"):
    for _state in ("open", "in_use"):
        DB_CONNECTIONS.labels(_pool, _state)
for _state in ("waiting", "quarantined"):
    SPOOL_FRAMES.labels(_state)
for _lane in ("away", "deferred"):
    SPOOL_OLDEST_SECONDS.labels(_lane)
for _result in ("recorded", "quarantined"):
    SPOOL_REPLAYED.labels(_result)


def collect() -> list[Metric]:
    """Every metric, all workers together; the gauges of live workers only."""
    return list(_REGISTRY.collect()) if _SHARED is None else _SHARED.merged()


def catalogue() -> list[tuple[str, str, Sequence[str], str]]:
    """Name, type, labels and sentence of every metric, in the order of their names."""
    declared = [value for value in globals().values() if isinstance(value, MetricWrapperBase)]
    # The library keeps the names of the labels to itself.
    described = [(found, one._labelnames) for one in declared for found in one.describe()]
    suffix = {"counter": "_total"}
    return sorted((it.name + suffix.get(it.type, ""), it.type, labels, it.documentation) for it, labels in described)


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
