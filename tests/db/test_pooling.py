"""The limits of a pool, tested with a real server. Only the clock is simulated."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Engine, NullPool

from calyapp.db import pooling
from calyapp.db.pooling import Limits, Statistics
from calyapp.health import figures

ROOT = Path(__file__).parents[2]
LIMITS = Limits(
    pool="records", min_connections=1, max_connections=2, idle_timeout_ms=30_000, max_uses=10_000, wait_ms=1
)


@pytest.fixture
def pool(database_url) -> Iterator:
    """`pool(min_connections=2, …)`: an engine with LIMITS and these changes."""
    with ExitStack() as closing:

        def make(**changes: int) -> Engine:
            limits = replace(LIMITS, **changes)
            engine = sqlalchemy.create_engine(database_url, **limits.pool_arguments())
            pooling.enforce(engine, limits)
            closing.callback(engine.dispose)
            return engine

        yield make


def backend(engine: Engine) -> int:
    """Returns the id of the server process of the pool's next connection."""
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()


def gauges() -> dict[str, int]:
    connections = figures.summary()["connections"]
    assert isinstance(connections, dict)
    return connections


def lock_out(server_url: str, database: str | None) -> None:
    """Refuses all further connections to the database, as if the server were away."""
    server = sqlalchemy.create_engine(server_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")


@pytest.fixture
def later(monkeypatch):
    """`later(seconds)`: advances the clock by this much."""
    real = time.monotonic

    def turn(seconds: float) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: real() + seconds)

    return turn


class TestLimits:
    def test_refuse_one_connection_too_many(self, pool):
        engine = pool(max_connections=2)

        with engine.connect(), engine.connect(), pytest.raises(sqlalchemy.exc.TimeoutError):
            engine.connect()

    def test_keep_the_connection_that_was_used_last(self, pool):
        engine = pool(min_connections=2)
        with engine.connect() as last, engine.connect():
            expected = last.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()

        assert backend(engine) == expected

    def test_replace_a_connection_that_was_idle_too_long(self, pool, later):
        engine = pool(idle_timeout_ms=30_000)
        before = backend(engine)

        later(seconds=31)

        assert backend(engine) != before

    def test_keep_a_connection_that_was_used_in_time(self, pool, later):
        engine = pool(idle_timeout_ms=30_000)
        before = backend(engine)

        later(seconds=25)
        meanwhile = backend(engine)
        later(seconds=50)

        assert (meanwhile, backend(engine)) == (before, before)

    def test_replace_a_connection_after_its_maximum_number_of_uses(self, pool):
        engine = pool(max_uses=3)

        first, *others = [backend(engine) for _ in range(6)]

        assert others[:2] == [first, first]
        assert others[2] != first
        assert others[3:] == [others[2]] * 2


class TestStatistics:
    def test_count_the_connections_open_and_in_use(self, pool):
        limits = replace(LIMITS, min_connections=2, max_connections=3)
        engine = pool(min_connections=2, max_connections=3)
        at_first = pooling.statistics(engine, limits)

        with engine.connect():
            with engine.connect():
                both = pooling.statistics(engine, limits)
            one = pooling.statistics(engine, limits)

        assert at_first == Statistics(max_connections=3, open=0, in_use=0)
        assert both == Statistics(max_connections=3, open=2, in_use=2)
        assert one == Statistics(max_connections=3, open=2, in_use=1)
        assert pooling.statistics(engine, limits) == Statistics(max_connections=3, open=2, in_use=0)


class TestGauges:
    def test_follow_the_connections(self, pool):
        before = gauges()
        engine = pool()

        with engine.connect(), engine.connect():
            in_use = gauges()
        kept = gauges()
        engine.dispose()

        assert in_use == {"open": before["open"] + 2, "inUse": before["inUse"] + 2}
        assert kept == {"open": before["open"] + 1, "inUse": before["inUse"]}
        assert gauges() == before

    def test_count_a_replaced_connection_once(self, pool, later):
        before = gauges()
        engine = pool()
        backend(engine)
        later(seconds=31)

        with engine.connect():
            in_use = gauges()

        assert in_use == {"open": before["open"] + 1, "inUse": before["inUse"] + 1}

    def test_do_not_count_connections_that_broke_in_use(self, pool):
        before = gauges()

        with pool().connect() as connection:
            connection.invalidate()

        assert gauges() == before

    def test_do_not_count_a_connection_that_could_not_be_replaced(self, pool, later, server_url):
        before = gauges()
        engine = pool()
        backend(engine)
        lock_out(server_url, engine.url.database)
        later(seconds=31)

        for _ in range(2):
            with pytest.raises(sqlalchemy.exc.OperationalError):
                engine.connect()

        assert gauges() == before


FORKS = """
import json, os, sys
from sqlalchemy import text
from calyapp.config import Settings
from calyapp.db.engine import database

pool = database(Settings.from_env(os.environ)).records

def backend():
    with pool.connection() as connection:
        return connection.scalar(text("SELECT pg_backend_pid()"))

before = backend()
if os.fork() == 0:
    print(json.dumps({"child": backend()}))
    sys.exit()
os.wait()
print(json.dumps({"before": before, "after": backend()}))
"""


class TestFork:
    def test_gives_the_child_its_own_connection_and_keeps_the_parents(self, database_url):
        environment = {**os.environ, "APP_ENV": "testing", "DATABASE_URL": database_url}
        command = [sys.executable, "-W", "error", "-c", FORKS]

        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

        assert done.stderr == ""
        child, parent = map(json.loads, done.stdout.splitlines())
        assert parent["after"] == parent["before"]
        assert child["child"] != parent["before"]
