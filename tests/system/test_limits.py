import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from running_server import eventually, webhook

# An hour, so that a slow test stays within one window.
LIMIT = {"RATELIMIT_WEBHOOK": "1000/hour"}


@pytest.fixture
def flood():
    """`flood(server, path, times)` sends distinct deliveries. Returns the number of answers by status."""

    def send(server, path: str, times: int, first: int = 0) -> Counter:
        def deliver(number: int) -> int:
            return server.ask("POST", path, {"CallSid": f"s{number}"})[0]

        with ThreadPoolExecutor(16) as callers:
            return Counter(callers.map(deliver, range(first, first + times)))

    return send


@pytest.mark.timeout(400)  # deferred deliveries are recorded in the pauses of other work
def test_3000_deliveries_over_4_workers_with_a_limit_of_1000_defer_2000_and_lose_none(
    serve, tenant, flood, redis_server, query
):
    server = serve("--workers", "4", RATELIMIT_STORAGE_URI=redis_server.url, **LIMIT)
    path = webhook(tenant(server), "call-end")

    assert flood(server, path, 3_000) == {200: 3_000}
    assert server.ask("GET", "/health/metrics")[1]["deliveries"]["call-end"]["deferred"] == 2_000
    eventually(lambda: query("SELECT count(*) FROM deliveries") == [(3_000,)], seconds=300)
    assert query("SELECT count(*) FROM audit_logs WHERE event_type = 'CALL_ENDED'") == [(3_000,)]
    assert query("SELECT count(*) FROM audit_logs WHERE event_type = 'RATE_LIMIT_EXCEEDED'") == [(1,)]


def test_more_than_ten_times_the_limit_is_refused(serve, tenant, flood, redis_server):
    server = serve("--workers", "2", RATELIMIT_STORAGE_URI=redis_server.url, RATELIMIT_WEBHOOK="50/hour")
    path = webhook(tenant(server), "call-end")

    assert flood(server, path, 700) == {200: 500, 429: 200}


def test_the_limit_for_requests_without_a_key_stays_exact_after_a_worker_is_killed(serve, flood, redis_server):
    server = serve("--workers", "4", RATELIMIT_STORAGE_URI=redis_server.url, WEBHOOK_AUTH="required", **LIMIT)
    path = "/webhooks/exotel/call-end"
    before = flood(server, path, 400)

    os.kill(server.workers()[0], signal.SIGKILL)
    after = flood(server, path, 1_200, first=400)

    assert before + after == {401: 1_000, 429: 600}


def test_an_outage_of_redis_loses_no_delivery_and_causes_no_error(serve, tenant, flood, redis_server):
    server = serve("--workers", "4", RATELIMIT_STORAGE_URI=redis_server.url, **LIMIT)
    path = webhook(tenant(server), "call-end")
    before = flood(server, path, 300)

    redis_server.stop()
    meanwhile = flood(server, path, 300, first=300)
    redis_server.start()
    after = flood(server, path, 300, first=600)

    assert before + meanwhile + after == {200: 900}
