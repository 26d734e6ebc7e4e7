"""The figures of `/health/metrics`, computed from the metrics of all workers."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf

from prometheus_client import Metric
from prometheus_client.samples import Sample

from calyapp import metrics


def summary() -> dict[str, object]:
    """Returns the figures of `/health/metrics`. A latency is None before the first request."""
    samples = _Samples(metrics.collect())
    by_status = samples.requests_by_status()
    total = sum(by_status.values())
    return {
        "requests": {"total": total, "byStatus": by_status},
        "latencyMs": samples.latency_ms(),
        "errorRate": by_status["5xx"] / total if total else 0.0,
        "slowRequests": int(sum(sample.value for sample in samples.named("caly_http_slow_requests_total"))),
        "deliveries": samples.deliveries(),
        "connections": samples.connections(),
        "spool": samples.spool(),
        "memoryBytes": metrics.resident_bytes(),
        "uptimeSeconds": time.time() - metrics.started_at(),
        "workers": len(metrics.workers()),
    }


def percentile(buckets: Sequence[tuple[float, float]], percent: int) -> float | None:
    """Returns the value that `percent` (1 to 100) of the observations do not exceed, or None without observations.

    `buckets` are ascending pairs of an upper bound and the number of observations up to it. The value is interpolated
    inside its bucket. In the last bucket, which is open, the result is its lower bound.
    """
    count = buckets[-1][1] if buckets else 0
    if not count:
        return None
    rank = percent * count / 100
    steps = pairwise([(0.0, 0.0), *buckets])
    (lower, below), (upper, upto) = next(step for step in steps if step[1][1] >= rank)
    return lower if upper == inf else lower + (upper - lower) * (rank - below) / (upto - below)


class _Samples:
    """The samples of all metrics at one moment, and what the summary reads from them."""

    def __init__(self, collected: list[Metric]) -> None:
        self._samples = [sample for metric in collected for sample in metric.samples]

    def named(self, name: str) -> Iterator[Sample]:
        return (sample for sample in self._samples if sample.name == name)

    def requests_by_status(self) -> dict[str, int]:
        classes = {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}
        for sample in self.named("caly_http_requests_total"):
            status_class = f"{sample.labels['status'][0]}xx"
            classes[status_class] = classes.get(status_class, 0) + int(sample.value)
        return classes

    def latency_ms(self) -> dict[str, float | None]:
        """Leaves out the health routes: they are frequent and fast, and no user waits for them."""
        counts: defaultdict[float, float] = defaultdict(float)
        for sample in self.named("caly_http_request_seconds_bucket"):
            if not sample.labels["endpoint"].startswith("health."):
                counts[float(sample.labels["le"]) * 1000] += sample.value
        buckets = sorted(counts.items())
        return {f"p{percent}": percentile(buckets, percent) for percent in (50, 95, 99)}

    def deliveries(self) -> dict[str, dict[str, int]]:
        routes: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for sample in self.named("caly_deliveries_total"):
            routes[sample.labels["route"]][sample.labels["result"]] = int(sample.value)
        return dict(routes)

    def spool(self) -> dict[str, int]:
        frames = {sample.labels["state"]: int(sample.value) for sample in self.named("caly_spool_frames")}
        return {"depth": frames.get("waiting", 0), "quarantined": frames.get("quarantined", 0)}

    def connections(self) -> dict[str, int]:
        states: Counter[str] = Counter()
        for sample in self.named("caly_db_connections"):
            states[sample.labels["state"]] += int(sample.value)
        return {"open": states["open"], "inUse": states["in_use"]}
