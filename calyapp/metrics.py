"""The catalogue of all metrics, with their labels and help texts, and the collection over all workers.

Label values come from closed sets: never a client, a number, a path or anything else that a sender chooses.
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

# Must precede the first metric: a metric gets its storage when it is constructed.
_SHARED = metric_slots.share_files()
_REGISTRY = CollectorRegistry()
# The shared files do not hold these series. Without them, one worker and many export the same series.
disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated there

HTTP_REQUESTS = Counter(
    "caly_http_requests_total",
    "HTTP requests answered. Unknown methods are counted as one.",
    ["endpoint", "method", "status"],
    registry=_REGISTRY,
)
HTTP_REQUEST_SECONDS = Histogram(
    "caly_http_request_seconds",
    "Duration of HTTP requests, in seconds.",
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
    "Requests over the limit of their profile. Deliveries up to ten times the limit are deferred, not refused.",
    ["profile"],
    registry=_REGISTRY,
)
RATE_LIMIT_FALLBACKS = Counter(
    "caly_rate_limit_fallbacks_total",
    "Requests that a worker counted for itself because Redis was unavailable or slow.",
    registry=_REGISTRY,
)
ANOMALIES = Counter(
    "caly_anomalies_total",
    "Requests that look like an attack, by pattern. They are answered like any other request.",
    ["pattern"],
    registry=_REGISTRY,
)
ANOMALY_FAILURES = Counter(
    "caly_anomaly_failures_total",
    "Requests that could not be scanned for attacks. They are answered like any other request.",
    registry=_REGISTRY,
)
PASSWORD_VERIFICATIONS = Counter(
    "caly_password_verifications_total",
    "Passwords compared with a hash: one for each attempt to sign in, whether the user exists or not.",
    registry=_REGISTRY,
)
DELIVERIES = Counter(
    "caly_deliveries_total",
    "Webhook deliveries by result: new, repeat, rejected, spooled (the database was unavailable or slow), deferred "
    "(over the client's limit) or quarantined. A replayed delivery counts again, as new or repeat.",
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
    "Calls that ended, by outcome: answered, voicemail, rejected, missed, abandoned, failed or unknown. A call "
    "counts again if a later delivery changes its outcome, and may count twice if two deliveries arrive at once.",
    ["outcome"],
    registry=_REGISTRY,
)
DIRECTORY_REFRESHED = Gauge(
    "caly_directory_refreshed_timestamp_seconds",
    "Time of the last refresh of the client directory (Unix time), of the worker that is furthest behind.",
    multiprocess_mode="livemin",
    registry=_REGISTRY,
)
DB_CONNECTIONS = Gauge(
    "caly_db_connections",
    "Connections to PostgreSQL in the pool for deliveries (ingest) and in the pool for everything else (records), "
    "by state: open (including idle) and in_use.",
    ["pool", "state"],
    multiprocess_mode="livesum",
    registry=_REGISTRY,
)
DB_CONNECTIONS_LIMIT = Gauge(
    "caly_db_connections_limit",
    "Maximum number of connections in the pools of all workers.",
    ["pool"],
    multiprocess_mode="livesum",
    registry=_REGISTRY,
)
DB_CONNECTION_WAIT_SECONDS = Histogram(
    "caly_db_connection_wait_seconds",
    "Wait for a database connection, in seconds: for a new or a free one, including waits that failed.",
    ["pool"],
    buckets=(0.001, 0.01, 0.1, 0.5, 1.0, 10.0),
    registry=_REGISTRY,
)
DB_STATEMENT_SECONDS = Histogram(
    "caly_db_statement_seconds",
    "Duration of database statements by name, in seconds, including statements that failed.",
    ["statement"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0),
    registry=_REGISTRY,
)
DB_SLOW_STATEMENTS = Counter(
    "caly_db_slow_statements_total",
    "Database statements that took longer than half a second, by name.",
    ["statement"],
    registry=_REGISTRY,
)
DB_BREAKER_OPEN = Gauge(
    "caly_db_breaker_open",
    "Workers whose database breaker is open. Their deliveries go to the spool.",
    multiprocess_mode="livesum",
    registry=_REGISTRY,
)
SPOOL_FRAMES = Gauge(
    "caly_spool_frames",
    "Deliveries in the spool of this host, by state: waiting (for replay) and quarantined.",
    ["state"],
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_OLDEST_SECONDS = Gauge(
    "caly_spool_oldest_seconds",
    "Age of the oldest delivery that waits in the spool, in seconds, by lane: away (the database was unavailable) or "
    "deferred (over the client's limit).",
    ["lane"],
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_BYTES = Gauge(
    "caly_spool_bytes",
    "Size of the spool on disk, in bytes.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_LIMIT_BYTES = Gauge(
    "caly_spool_limit_bytes",
    "Maximum size of the spool on disk, in bytes.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SPOOL_REPLAYED = Counter(
    "caly_spool_replayed_total",
    "Deliveries replayed from the spool, by result: recorded or quarantined.",
    ["result"],
    registry=_REGISTRY,
)
SCAN_TIMESTAMP = Gauge(
    "caly_scan_timestamp_seconds",
    "Start of the last vulnerability scan (Unix time). 0 before the first scan.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SCAN_VERDICT = Gauge(
    "caly_scan_verdict",
    "Verdict of the last vulnerability scan (passed, warning, incomplete or failed): 1 for it, 0 for the others.",
    ["verdict"],
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
SCAN_FINDINGS = Gauge(
    "caly_scan_findings",
    "Known vulnerabilities that the last scan found in the requirements, by severity.",
    ["severity"],
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
BACKUP_TIMESTAMP = Gauge(
    "caly_backup_timestamp_seconds",
    "End of the last complete backup (Unix time). 0 if the last 30 days have none.",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
BACKUP_FAILED = Gauge(
    "caly_backup_failed",
    "Whether the last backup failed, or started more than six hours ago and did not end (1 or 0).",
    multiprocess_mode="livemax",
    registry=_REGISTRY,
)
# Creates the series at zero, so that they exist before their first change.
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
    """Returns all metrics, merged over all workers. Gauges include live workers only."""
    return list(_REGISTRY.collect()) if _SHARED is None else _SHARED.merged()


def catalogue() -> list[tuple[str, str, Sequence[str], str]]:
    """Returns name, type, labels and help text of every metric, sorted by name."""
    declared = [value for value in globals().values() if isinstance(value, MetricWrapperBase)]
    # `_labelnames` is private, but the library has no public way to read the label names.
    described = [(description, metric._labelnames) for metric in declared for description in metric.describe()]
    suffix = {"counter": "_total"}
    return sorted((it.name + suffix.get(it.type, ""), it.type, labels, it.documentation) for it, labels in described)


def prometheus_text() -> bytes:
    """Returns all metrics in Prometheus's text format."""
    return generate_latest(_AllWorkers())


def leave() -> None:
    """Releases this process's slot, so that the next worker takes it. A parent calls this before it forks."""
    if _SHARED is not None:
        _SHARED.forget()


def workers() -> list[int]:
    """Returns the process ids of the live workers."""
    return [os.getpid()] if _SHARED is None else list(_SHARED.holders().values())


def resident_bytes() -> int:
    """Returns the resident memory of all live workers. Shared pages count once for each worker."""
    return sum(map(_resident_bytes, workers()))


def started_at() -> float:
    """Returns the Unix time at which the service started. A recycled worker does not change it."""
    return _IMPORTED_AT if _SHARED is None else _SHARED.started_at


class _AllWorkers(Collector):
    """Adapts `collect` to the interface that the library's text format requires."""

    def collect(self) -> list[Metric]:
        return collect()


def _resident_bytes(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended since it was listed
    return int(pages) * _PAGE_BYTES
