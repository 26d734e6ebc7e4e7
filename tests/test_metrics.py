"""The catalogue of metrics, read from one and from several real worker processes."""

import os
from pathlib import Path

from counting_worker import StartWorker


class TestPrometheusText:
    def test_is_the_same_from_one_process_and_from_shared_files(
        self, start_worker: StartWorker, tmp_path: Path
    ) -> None:
        texts = []
        for worker in (start_worker(None), start_worker(tmp_path)):
            worker.answer_requests(2)
            worker.observe("webhooks.call_start", 0.02, 0.3)
            worker.ask("metrics.DELIVERIES.labels('call-end', 'new').inc()")
            worker.ask("metrics.RATE_LIMIT_EXCEEDED.labels('webhook').inc()")
            worker.ask("metrics.DB_CONNECTIONS.labels('ingest', 'open').set(4)")
            worker.ask("metrics.HTTP_SLOW_REQUESTS.inc()")
            texts.append(worker.ask("metrics.prometheus_text().decode()"))

        # A metric without series is named by one process only.
        alone, shared = ({line for line in text.splitlines() if line[0] != "#"} for text in texts)

        assert 'caly_http_request_seconds_bucket{endpoint="webhooks.call_start",le="0.025"} 1.0' in alone
        assert "caly_http_slow_requests_total 1.0" in alone
        assert alone == shared


class TestWorkersTogether:
    def test_are_known_by_their_process_ids(self, start_worker: StartWorker, tmp_path: Path) -> None:
        first, second = start_worker(tmp_path), start_worker(tmp_path)
        first.ask("None")
        second.ask("None")

        assert set(first.ask("metrics.workers()")) == {first.pid, second.pid}

    def test_started_when_the_first_of_them_did(self, start_worker: StartWorker, tmp_path: Path) -> None:
        start_worker(tmp_path).ask("None")
        os.utime(tmp_path / "started", (1_700_000_000, 1_700_000_000))

        recycled = start_worker(tmp_path)

        assert recycled.ask("metrics.started_at()") == 1_700_000_000
