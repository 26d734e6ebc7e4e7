"""Tests the figures of real worker processes, alone and together."""

from bisect import bisect_left
from math import ceil, inf
from pathlib import Path

import pytest
from counting_worker import StartWorker, Worker
from hypothesis import given
from hypothesis import strategies as st

from calyapp.health import figures

BOUNDS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, inf)


@pytest.fixture(params=["alone", "shared"])
def worker(request: pytest.FixtureRequest, start_worker: StartWorker, tmp_path: Path) -> Worker:
    """A worker, with its values in its own memory or in shared files. Both must behave in the same way."""
    return start_worker(tmp_path if request.param == "shared" else None)


class TestSummary:
    def test_before_the_first_request_is_empty(self, worker: Worker) -> None:
        summary = worker.summary()

        assert summary["requests"] == {"total": 0, "byStatus": {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}}
        assert summary["latencyMs"] == {"p50": None, "p95": None, "p99": None}
        assert summary["errorRate"] == 0.0
        assert summary["slowRequests"] == 0
        assert summary["deliveries"] == {}
        assert summary["connections"] == {"open": 0, "inUse": 0}
        assert summary["workers"] == 1
        assert summary["memoryBytes"] > 1_000_000
        assert summary["uptimeSeconds"] >= 0

    def test_counts_requests_by_status_class_and_errors_among_them(self, worker: Worker) -> None:
        worker.answer_requests(5, status=200)
        worker.answer_requests(1, status=201)
        worker.answer_requests(2, status=503)
        worker.ask("metrics.HTTP_SLOW_REQUESTS.inc(3)")

        summary = worker.summary()

        assert summary["requests"] == {"total": 8, "byStatus": {"2xx": 6, "3xx": 0, "4xx": 0, "5xx": 2}}
        assert summary["errorRate"] == 0.25
        assert summary["slowRequests"] == 3

    def test_interpolates_latencies_over_all_routes_but_those_of_health(self, worker: Worker) -> None:
        worker.observe("webhooks.call_start", *[0.004] * 50)
        worker.observe("webhooks.call_end", *[0.04] * 50)
        worker.observe("health.live", *[9.0] * 900)

        latency = worker.summary()["latencyMs"]

        assert latency == pytest.approx({"p50": 5.0, "p95": 25 + 25 * 0.9, "p99": 25 + 25 * 0.98})

    def test_lists_deliveries_and_connections_by_their_labels(self, worker: Worker) -> None:
        worker.ask("metrics.DELIVERIES.labels('call-end', 'new').inc(2)")
        worker.ask("metrics.DELIVERIES.labels('call-end', 'repeat').inc()")
        worker.ask("metrics.DELIVERIES.labels('recording', 'rejected').inc()")
        worker.ask("metrics.DB_CONNECTIONS.labels('ingest', 'open').set(4)")
        worker.ask("metrics.DB_CONNECTIONS.labels('ingest', 'in_use').set(1)")

        summary = worker.summary()

        assert summary["deliveries"] == {"call-end": {"new": 2, "repeat": 1}, "recording": {"rejected": 1}}
        assert summary["connections"] == {"open": 4, "inUse": 1}


class TestWorkersTogether:
    def test_are_summed_without_the_gauges_of_the_dead(self, start_worker: StartWorker, tmp_path: Path) -> None:
        first, second = start_worker(tmp_path), start_worker(tmp_path)
        for worker in (first, second):
            worker.answer_requests(10)
            worker.observe("webhooks.call_start", 0.02)
            worker.ask("metrics.DB_CONNECTIONS.labels('ingest', 'open').set(3)")
        before = first.summary()

        second.kill()

        after = first.summary()
        assert (before["connections"]["open"], after["connections"]["open"]) == (6, 3)
        assert (before["workers"], after["workers"]) == (2, 1)
        assert before["memoryBytes"] > after["memoryBytes"]
        assert before["requests"] == after["requests"] == {"total": 20, "byStatus": after["requests"]["byStatus"]}


class TestPercentile:
    @given(
        st.lists(st.floats(min_value=0, max_value=20_000), min_size=1, max_size=300),
        st.sampled_from([50, 95, 99]),
    )
    def test_falls_into_the_bucket_of_the_exact_one(self, observations: list[float], percent: int) -> None:
        exact = sorted(observations)[ceil(percent * len(observations) / 100) - 1]
        buckets = [(bound, float(sum(value <= bound for value in observations))) for bound in BOUNDS]

        estimate = figures.percentile(buckets, percent)

        upper = bisect_left(BOUNDS, exact)
        lower_bound = BOUNDS[upper - 1] if upper else 0.0
        assert estimate is not None
        assert lower_bound <= estimate <= min(BOUNDS[upper], 10_000.0)

    @pytest.mark.parametrize(
        ("buckets", "expected"),
        [
            ([], None),
            ([(10.0, 0.0), (inf, 0.0)], None),
            ([(10.0, 4.0), (inf, 4.0)], 5.0),
            ([(10.0, 0.0), (20.0, 4.0), (inf, 4.0)], 15.0),
            ([(10.0, 1.0), (20.0, 1.0), (40.0, 4.0), (inf, 4.0)], pytest.approx(20 + 20 / 3)),
            ([(10.0, 1.0), (20.0, 1.0), (inf, 4.0)], 20.0),
        ],
        ids=[
            "no buckets",
            "no observations",
            "first bucket",
            "a later one",
            "after an empty one",
            "beyond the last",
        ],
    )
    def test_of_one_half(self, buckets: list[tuple[float, float]], expected: float | None) -> None:
        assert figures.percentile(buckets, 50) == expected
