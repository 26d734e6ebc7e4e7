import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from clocks import Clock
from flask import Flask
from flask_limiter import Limiter
from limits import parse

from calyapp.health.checks import Finding, Health
from calyapp.web.pipeline.rate_limit_window import REDIS_OPTIONS, RateLimitWindows

LIMIT = parse("3/minute")
UNREACHABLE = "redis://127.0.0.1:1/0"


@pytest.fixture
def clock():
    return Clock(1_700_000_000.0)


@pytest.fixture
def counter(clock):
    """`counter(uri)`: the counter of a new worker with this storage."""

    def build(uri: str) -> RateLimitWindows:
        options = {} if uri.startswith("memory") else REDIS_OPTIONS
        limiter = Limiter(key_func=str, storage_uri=uri, storage_options=options, strategy="fixed-window")
        limiter.init_app(Flask("counting"))
        return RateLimitWindows(limiter, clock, elapsed=clock)

    return build


def counts(counter: RateLimitWindows, times: int, *key: str) -> list[int]:
    return [counter.hit(LIMIT, *(key or ("a",))).count for _ in range(times)]


class TestPeek:
    @pytest.mark.parametrize("storage", ["memory", pytest.param("redis", marks=pytest.mark.redis)])
    def test_returns_the_hits_and_adds_none(self, counter, request, clock, storage):
        clock.seconds = time.time()
        uri = "memory://" if storage == "memory" else request.getfixturevalue("redis_server").url
        windows = counter(uri)
        last = [windows.hit(LIMIT, "a") for _ in range(2)][-1]

        peeks = [windows.peek(LIMIT, "a") for _ in range(3)]

        assert [hits.count for hits in peeks] == [2, 2, 2]
        assert abs(peeks[0].resets_at - last.resets_at) <= 2
        assert windows.peek(LIMIT, "b").count == 0

    def test_returns_this_workers_hits_while_the_storage_is_away(self, counter):
        windows = counter(UNREACHABLE)
        windows.hit(LIMIT, "a")

        assert windows.peek(LIMIT, "a").count == 1


class TestHit:
    def test_counts_each_key_separately(self, counter):
        windows = counter("memory://")

        assert counts(windows, 2, "a", "b") == [1, 2]
        assert counts(windows, 2, "a", "c") == [1, 2]

    def test_is_shared_between_workers_by_redis(self, counter, redis_server):
        one, other = counter(redis_server.url), counter(redis_server.url)

        assert counts(one, 2) + counts(other, 2) + counts(one, 1) == [1, 2, 3, 4, 5]

    def test_has_the_same_end_for_all_workers(self, counter, redis_server, clock):
        clock.seconds = time.time()
        ends = [counter(redis_server.url).hit(LIMIT, "a").resets_at for _ in range(3)]

        assert max(ends) - min(ends) <= 2
        assert 55 <= ends[0] - clock.seconds <= 61

    def test_counts_exactly_from_many_threads(self, counter, redis_server):
        windows = counter(redis_server.url)

        with ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(lambda _: windows.hit(LIMIT, "a").count, range(200)))

        assert sorted(seen) == list(range(1, 201))

    def test_counts_exactly_in_its_own_memory_from_many_threads(self, counter):
        alone = counter("memory://")
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)  # switches between the threads as often as possible

        try:
            with ThreadPoolExecutor(8) as threads:
                hits = list(threads.map(lambda _: alone.hit(LIMIT, "a").count, range(4_000)))
        finally:
            sys.setswitchinterval(before)

        assert sorted(hits) == list(range(1, 4_001))


class TestFallback:
    def test_counts_in_this_worker_while_redis_is_away(self, counter):
        assert counts(counter(UNREACHABLE), 3) == [1, 2, 3]

    def test_counts_in_this_worker_while_redis_hangs(self, counter, redis_server):
        windows = counter(redis_server.url)
        counts(windows, 5)

        redis_server.hang()

        assert counts(windows, 3) == [1, 2, 3]

    def test_tries_redis_again_after_a_growing_pause(self, counter, redis_server, clock):
        windows = counter(redis_server.url)
        counts(windows, 5)
        redis_server.stop()
        assert counts(windows, 1) == [1]
        redis_server.start()

        assert counts(windows, 1) == [2]
        clock.seconds += 1.01
        assert counts(windows, 2) == [1, 2]

    def test_logs_the_outage_once_and_the_return_once(self, counter, redis_server, clock, caplog):
        caplog.set_level(logging.INFO, "calyapp")
        windows = counter(redis_server.url)
        redis_server.stop()
        for _ in range(3):
            counts(windows, 2)
            clock.seconds += 40
        redis_server.start()

        counts(windows, 2)

        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert redis_server.url not in caplog.text


class TestProbe:
    def test_of_memory_is_healthy(self, counter):
        assert counter("memory://").check() == Finding(Health.HEALTHY, facts={"storage": "memory"})

    def test_of_redis_is_healthy_and_reports_its_duration(self, counter, redis_server):
        finding = counter(redis_server.url).check()

        assert (finding.status, finding.facts["fallback"]) == (Health.HEALTHY, False)
        assert finding.facts["milliseconds"] > 0

    def test_reports_that_redis_is_away(self, counter):
        finding = counter(UNREACHABLE).check()

        assert finding.status is Health.DEGRADED
        assert finding.message == "Redis refuses the connection: nothing listens there; each worker counts for itself"

    def test_reports_that_redis_is_too_slow(self, counter, redis_server):
        redis_server.hang()

        finding = counter(redis_server.url).check()

        assert finding.message == "Redis does not answer in time; each worker counts for itself"

    def test_reports_that_redis_refuses_the_password(self, counter, redis_server):
        windows = counter(redis_server.url.replace("//", "//:canary@"))

        finding = windows.check()

        assert finding.message == "Redis has no password, and one is given; each worker counts for itself"

    def test_reports_the_fallback_after_redis_is_back(self, counter, redis_server, clock):
        windows = counter(redis_server.url)
        redis_server.stop()
        counts(windows, 1)
        redis_server.start()

        finding = windows.check()
        clock.seconds += 40
        counts(windows, 1)

        assert (finding.status, finding.facts) == (Health.DEGRADED, {"storage": "redis", "fallback": True})
        assert windows.check().status is Health.HEALTHY
