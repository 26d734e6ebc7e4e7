"""Counting and timing of statements against a real server."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from sqlalchemy import Connection, text

from calyapp.config import Secret
from calyapp.db import engine, queries
from calyapp.db.queries import Tally
from calyapp.errors import DatabaseAway, DatabaseError

SLEEP = text("SELECT pg_sleep(:secret_seconds)")


@pytest.fixture
def pool(services) -> engine.Pool:
    return services.database.records


@pytest.fixture
def connection(pool) -> Iterator[Connection]:
    with pool.connection() as connection:
        yield connection


def warnings(caplog) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "calyapp.db.queries"]


class TestTally:
    def test_counts_the_statements_of_its_block_and_their_time(self, connection):
        connection.execute(text("SELECT 1"))

        with queries.tallied() as tally:
            connection.execute(SLEEP, {"secret_seconds": 0.02})
            connection.execute(text("SELECT 1"))
        connection.execute(text("SELECT 1"))

        assert tally.count == 2
        assert tally.milliseconds > 15

    def test_counts_a_statement_that_fails(self, connection):
        with queries.tallied() as tally, pytest.raises(DatabaseError):
            connection.execute(text("SELECT 1 / 0"))

        assert tally.count == 1

    def test_counts_a_statement_once_if_its_rows_cannot_be_read(self, connection):
        with queries.tallied() as tally, pytest.raises(DatabaseError):
            connection.execute(text("SELECT timestamp '10000-01-01'")).all()

        assert tally.count == 1

    def test_does_not_count_a_connection_that_fails(self, settings, tmp_path):
        nobody = Secret(f"postgresql+psycopg2://caly@/caly?host={tmp_path}")
        database = engine.database(replace(settings, database_url=nobody))

        with queries.tallied() as tally, pytest.raises(DatabaseAway), database.records.connection():
            pass

        assert tally == Tally()

    def test_counts_only_statements_of_its_own_thread(self, pool):
        together = Barrier(3)

        def count(statements: int) -> int:
            with pool.connection() as connection, queries.tallied() as tally:
                together.wait()
                for _ in range(statements):
                    connection.execute(text("SELECT 1"))
                together.wait()
            return tally.count

        with queries.tallied() as outside, ThreadPoolExecutor(3) as threads:
            counts = list(threads.map(count, [1, 2, 3]))

        assert counts == [1, 2, 3]
        assert outside.count == 0


def _leaks(warning: logging.LogRecord) -> bool:
    told = str(vars(warning))
    return "pg_sleep" in told or "secret" in told


class TestSlowStatement:
    def test_is_logged_by_name_without_text_and_parameters(self, connection, caplog):
        connection.execute(SLEEP, {"secret_seconds": 0.55}, execution_options={"name": "read_slowly"})

        (warning,) = warnings(caplog)
        assert warning.levelno == logging.WARNING
        assert warning.getMessage() == "slow statement read_slowly"
        assert warning.fields["statement"] == "read_slowly"
        assert warning.fields["durationMs"] > 500
        assert not _leaks(warning)

    def test_is_logged_when_it_fails_too(self, settings, caplog):
        database = engine.database(replace(settings, db_statement_timeout_ms=550))

        with pytest.raises(DatabaseAway), database.records.connection() as connection:
            connection.execute(SLEEP, {"secret_seconds": 60})

        (warning,) = warnings(caplog)
        assert warning.getMessage() == "slow statement unnamed"
        assert not _leaks(warning)
        database.close()

    def test_does_not_include_a_fast_statement(self, connection, caplog):
        connection.execute(text("SELECT 1"))

        assert warnings(caplog) == []
