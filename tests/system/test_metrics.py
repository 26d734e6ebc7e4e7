import time
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from running_server import eventually, webhook

REQUESTS = 10_000
WARM_UP = 1_000  # until every worker has answered a request
BUCKETS_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)


def test_counts_stay_exact_while_workers_are_replaced(serve, tenant, tmp_path):
    server = serve("--workers", "4", "--max-requests", "400", "--max-requests-jitter", "200")
    path = webhook(tenant(server), "call-status")
    (metrics,) = tmp_path.glob("caly-metrics-*")
    before = server.ask("GET", "/health/metrics")[1]

    def deliver(number: int) -> tuple[int, float]:
        began = time.perf_counter()
        status, _ = server.ask("POST", path, {"CallSid": f"s{number}", "CallStatus": "ringing"})
        return status, (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(deliver, range(WARM_UP)))
        files_of_four_workers = _names(metrics)
        answers += callers.map(deliver, range(WARM_UP, REQUESTS))

    after = server.ask("GET", "/health/metrics")[1]
    assert {status for status, _ in answers} == {200}
    # Deliveries that were spooled because PostgreSQL was slow count as new after their replay.
    eventually(lambda: server.ask("GET", "/health/metrics")[1]["deliveries"]["call-status"]["new"] == REQUESTS)
    assert after["requests"]["byStatus"]["2xx"] - before["requests"]["byStatus"]["2xx"] == REQUESTS + 1
    assert after["workers"] == 4  # without the master, which loads the application for the workers
    assert _settled(metrics, files_of_four_workers)
    p95 = sorted(milliseconds for _, milliseconds in answers)[int(REQUESTS * 0.95)]
    assert abs(_bucket(after["latencyMs"]["p95"]) - _bucket(p95)) <= 1


def _bucket(milliseconds: float) -> int:
    return bisect_left(BUCKETS_MS, milliseconds)


def _settled(folder: Path, names: set[str]) -> bool:
    """Whether the folder holds exactly these files. Waits for a starting worker to create its own."""
    return any(_names(folder) == names or time.sleep(0.1) for _ in range(50))


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}
