"""The pools against a real server, and the translation of the driver's errors."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from calyapp.config import Secret, Settings
from calyapp.db import engine
from calyapp.db.engine import Database
from calyapp.embedded import server
from calyapp.errors import DatabaseAway, DatabaseError, DatabaseRejected

INSERT = text("INSERT INTO clients (id, name, created_at, updated_at) VALUES (gen_random_uuid(), :name, now(), now())")
NOWHERE = Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql+psycopg2://caly@nowhere.invalid/caly"})


@pytest.fixture
def opened(settings) -> Iterator:
    """`opened(db_pool_max=2, …)`: the pools of the settings, with these changes."""
    with ExitStack() as closing:

        def make(**changes: object) -> Database:
            database = engine.database(replace(settings, **changes))
            closing.callback(database.close)
            return database

        yield make


class TestUrl:
    def test_is_the_url_of_the_settings(self):
        assert engine.url(NOWHERE) == "postgresql+psycopg2://caly@nowhere.invalid/caly"

    def test_is_the_url_of_the_embedded_server_by_default(self):
        assert engine.url(replace(NOWHERE, database_url=None)) == server.url(Path("var/postgres"))


class TestDatabase:
    @given(st.integers(2, 1000), st.integers(1, 1000))
    def test_distributes_exactly_the_allowed_connections(self, most, keep):
        database = engine.database(replace(NOWHERE, db_pool_max=most, db_pool_min=keep))

        limits = [database.ingest.limits, database.records.limits]
        assert sum(pool.max_connections for pool in limits) == most
        assert all(1 <= pool.min_connections <= pool.max_connections for pool in limits)

    @given(st.integers(1, 86_400_000))
    def test_limits_the_wait_of_a_delivery_for_a_connection(self, wait_ms):
        database = engine.database(replace(NOWHERE, db_connection_timeout_ms=wait_ms))

        assert database.ingest.limits.wait_ms == min(500, wait_ms)
        assert database.records.limits.wait_ms == wait_ms

    @pytest.mark.parametrize(("pool", "timeout"), [("ingest", "750ms"), ("records", "30s")])
    def test_opens_sessions_with_limits_in_utc(self, opened, pool, timeout):
        names = ["statement_timeout", "lock_timeout", "timezone", "application_name"]

        with getattr(opened(), pool).connection() as connection:
            promised = {name: connection.scalar(text(f"SHOW {name}")) for name in names}

        assert promised == {
            "statement_timeout": timeout,
            "lock_timeout": timeout,
            "timezone": "UTC",
            "application_name": "caly",
        }

    def test_reports_the_connections_of_a_pool(self, opened):
        pool = opened(db_pool_max=8).ingest

        with pool.connection():
            statistics = pool.statistics()

        assert (statistics.max_connections, statistics.open, statistics.in_use) == (6, 1, 1)


class TestIngest:
    def test_commits_each_statement_immediately(self, opened, query):
        with opened().ingest.connection() as connection:
            connection.execute(INSERT, {"name": "Asha Dental"})
            seen = query("SELECT name FROM clients")

        assert seen == [("Asha Dental",)]


class TestRecords:
    def test_commits_a_transaction_at_its_end(self, opened, query):
        with opened().records.transaction() as connection:
            connection.execute(INSERT, {"name": "Asha Dental"})
            seen = query("SELECT name FROM clients")

        assert seen == []
        assert query("SELECT name FROM clients") == [("Asha Dental",)]

    def test_keeps_nothing_of_a_transaction_that_raised(self, opened, query):
        pool = opened().records

        with pytest.raises(DatabaseError), pool.transaction() as connection:  # noqa: PT012 (two, of which one is undone)
            connection.execute(INSERT, {"name": "Asha Dental"})
            connection.execute(text("SELECT 1 / 0"))

        assert query("SELECT name FROM clients") == []


class TestIdentity:
    @pytest.mark.parametrize("name", ["identity", "ingest"])
    def test_keeps_nothing_of_a_transaction_that_raised(self, opened, query, name):
        pool = getattr(opened(), name)

        with pytest.raises(DatabaseError), pool.transaction() as connection:  # noqa: PT012 (two, of which one is undone)
            connection.execute(INSERT, {"name": "Asha Dental"})
            connection.execute(text("SELECT 1 / 0"))

        assert query("SELECT name FROM clients") == []

    def test_returns_a_connection_that_commits_each_statement_immediately(self, opened, query):
        database = opened(db_pool_max=2)  # one connection for each pool
        with database.identity.transaction() as connection:
            used = connection.scalar(text("SELECT pg_backend_pid()"))

        with database.ingest.connection() as connection:
            connection.execute(INSERT, {"name": "Asha Dental"})
            seen = query("SELECT name FROM clients")
            assert connection.scalar(text("SELECT pg_backend_pid()")) == used

        assert seen == [("Asha Dental",)]

    def test_follows_the_breaker_of_the_deliveries_and_does_not_affect_it(self, opened):
        database = opened()
        breaker = database.ingest.breaker
        with suppress(DatabaseAway), database.identity.connection() as connection:
            connection.execute(text("SET statement_timeout = 1; SELECT pg_sleep(1)"))
        counted = breaker._in_a_row
        for _ in range(3):
            breaker.failed(breaker._openings)

        with pytest.raises(DatabaseAway), database.identity.connection():
            pytest.fail("a connection was handed out")
        assert counted == 0


class TestDatabaseAway:
    """Failures of statements that may succeed later."""

    def test_is_raised_if_the_server_refuses_the_connection(self, opened):
        with socket.socket() as bound:  # bound without listening, so that no other process can listen there
            bound.bind(("127.0.0.1", 0))
            address = f"postgresql+psycopg2://caly@127.0.0.1:{bound.getsockname()[1]}/caly"
            pool = opened(database_url=Secret(address)).ingest

            with pytest.raises(DatabaseAway) as raised, pool.connection():
                pass

        assert not raised.value.connection_lost

    def test_is_raised_if_a_proxy_without_a_server_closes_the_connection(self, opened):
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            address = f"postgresql+psycopg2://caly@127.0.0.1:{proxy.getsockname()[1]}/caly"
            pool = opened(database_url=Secret(address)).ingest
            closing = threading.Thread(target=lambda: proxy.accept()[0].close())
            closing.start()

            with pytest.raises(DatabaseAway) as raised, pool.connection():
                pass
            closing.join()

        assert not raised.value.connection_lost

    def test_is_raised_if_a_statement_takes_too_long(self, opened):
        pool = opened(db_statement_timeout_ms=20).ingest

        with pool.connection() as connection:
            with pytest.raises(DatabaseAway) as raised:
                connection.execute(text("SELECT pg_sleep(60)"))

            assert not raised.value.connection_lost
            assert connection.scalar(text("SELECT 1")) == 1

    def test_is_raised_if_a_lock_is_held_too_long(self, opened, query):
        query("BEGIN")
        query("LOCK TABLE clients")

        with opened(db_statement_timeout_ms=20).ingest.connection() as connection, pytest.raises(DatabaseAway):
            connection.execute(INSERT, {"name": "Asha Dental"})

        query("ROLLBACK")

    def test_is_raised_if_all_connections_of_the_pool_are_in_use(self, opened):
        pool = opened(db_pool_max=2, db_connection_timeout_ms=1).ingest

        with pool.connection(), pytest.raises(DatabaseAway, match="busy") as raised, pool.connection():
            pass

        assert not raised.value.connection_lost

    def test_is_not_raised_if_another_pool_is_exhausted(self, opened):
        database = opened(db_pool_max=2, db_connection_timeout_ms=1)

        with database.records.connection(), database.ingest.connection() as connection:
            assert connection.scalar(text("SELECT 1")) == 1

    def test_is_raised_if_the_server_is_read_only(self, opened, query):
        ((database,),) = query("SELECT current_database()")
        query(f"ALTER DATABASE {database} SET default_transaction_read_only = on")

        with opened().ingest.connection() as connection, pytest.raises(DatabaseAway) as raised:
            connection.execute(INSERT, {"name": "Asha Dental"})

        assert not raised.value.connection_lost

    def test_is_raised_if_the_server_is_frozen(self, opened, query):
        database = opened()
        with database.ingest.connection() as connection:
            backend = connection.scalar(text("SELECT pg_backend_pid()"))
            os.kill(backend, signal.SIGSTOP)
            try:
                with pytest.raises(DatabaseAway) as raised:
                    connection.execute(text("SELECT 1"))
            finally:
                os.kill(backend, signal.SIGCONT)

        # An immediate second attempt would take as long.
        assert not raised.value.connection_lost

    def test_is_raised_if_a_new_connection_breaks(self, opened, query):
        pool = opened().ingest

        with pool.connection() as connection:
            query("SELECT pg_terminate_backend(%s)", connection.scalar(text("SELECT pg_backend_pid()")))
            with pytest.raises(DatabaseAway) as raised:
                connection.execute(text("SELECT 1"))

        assert not raised.value.connection_lost

    def test_is_raised_once_for_a_connection_that_broke(self, opened, query):
        pool = opened().ingest
        with pool.connection():
            pass  # used once, because a new connection that breaks gives another error
        with pool.connection() as connection:
            query("SELECT pg_terminate_backend(%s)", connection.scalar(text("SELECT pg_backend_pid()")))
            with pytest.raises(DatabaseAway) as raised:
                connection.execute(INSERT, {"name": "lost"})

        with pool.connection() as connection:
            connection.execute(INSERT, {"name": "kept"})

        assert raised.value.connection_lost
        assert query("SELECT name FROM clients") == [("kept",)]

    @pytest.mark.parametrize("kind", ["connection", "transaction"])
    @pytest.mark.parametrize("name", ["ingest", "identity", "records"])
    def test_is_raised_for_a_connection_that_broke_while_idle_and_releases_its_place(self, opened, query, name, kind):
        pool = getattr(opened(), name)
        with pool.connection() as connection:
            backend = connection.scalar(text("SELECT pg_backend_pid()"))
        query("SELECT pg_terminate_backend(%s, 10000)", backend)

        with pytest.raises(DatabaseAway) as raised, getattr(pool, kind)() as connection:
            connection.execute(text("SELECT 1"))

        assert (pool.statistics().in_use, raised.value.connection_lost) == (0, True)
        with getattr(pool, kind)() as connection:
            assert connection.scalar(text("SELECT 1")) == 1


class _Interrupts:
    """A parameter whose adaptation is interrupted, as by Ctrl-C."""

    def __conform__(self, _protocol: object) -> None:
        raise KeyboardInterrupt


class TestBreaker:
    @pytest.fixture
    def changes(self):
        return []

    @pytest.fixture
    def slow(self, settings, changes, query):
        """The pool for deliveries, with the table `clients` locked."""
        database = engine.database(replace(settings, db_statement_timeout_ms=20), changes.append)
        query("BEGIN")
        query("LOCK TABLE clients")
        yield database.ingest
        query("ROLLBACK")
        database.close()

    def insert(self, pool):
        with pool.connection() as connection:
            connection.execute(INSERT, {"name": "Asha Dental"})

    def test_opens_if_the_database_is_too_slow(self, slow, changes):
        for _ in range(3):
            with pytest.raises(DatabaseAway):
                self.insert(slow)

        with pytest.raises(DatabaseAway), slow.connection():
            pytest.fail("a connection was handed out")
        assert changes == [True]

    def test_applies_to_reports_because_they_would_occupy_the_threads_of_calls(self, opened, query):
        database = opened(db_statement_timeout_ms=20)
        query("BEGIN")
        query("LOCK TABLE clients")
        for _ in range(3):
            with pytest.raises(DatabaseAway):
                self.insert(database.ingest)
        query("ROLLBACK")

        with pytest.raises(DatabaseAway), database.records.connection():
            pytest.fail("a connection was handed out")

    def test_is_not_opened_by_slow_reports(self, opened):
        database = opened(db_statement_timeout_ms=20)
        for _ in range(4):
            with database.records.connection() as connection, pytest.raises(DatabaseAway):
                connection.execute(text("SELECT pg_sleep(60)"))

        assert not database.ingest.is_away

    def test_is_closed_by_a_successful_check(self, slow, changes, query):
        for _ in range(3):
            with pytest.raises(DatabaseAway):
                self.insert(slow)

        checked = []
        while slow.breaker.is_open:
            slow.try_again(checked.append)

        assert (len(checked), changes) == (1, [True, False])
        query("ROLLBACK")
        self.insert(slow)

    def test_stays_open_if_the_check_fails(self, slow):
        for _ in range(3):
            with pytest.raises(DatabaseAway):
                self.insert(slow)

        tried = []

        def check(connection):
            tried.append(connection)
            connection.execute(INSERT, {"name": "Asha Dental"})

        while not tried:
            slow.try_again(check)

        assert slow.breaker.is_open

    def test_does_not_count_connections_that_broke(self, opened, query):
        pool = opened(db_pool_max=2).ingest
        for _ in range(4):
            with pool.connection() as connection:
                query("SELECT pg_terminate_backend(%s)", connection.scalar(text("SELECT pg_backend_pid()")))
            with pytest.raises(DatabaseAway), pool.connection() as connection:
                connection.execute(text("SELECT 1"))

        assert not pool.breaker.is_open


class TestRejected:
    @pytest.mark.parametrize(
        "statement",
        ["SELECT CAST(:name AS integer)", "INSERT INTO clients (name) VALUES (:name)", "SELECT repeat(:name, 1 << 30)"],
    )
    def test_is_raised_for_values_that_can_never_be_stored(self, opened, statement):
        with opened().ingest.connection() as connection, pytest.raises(DatabaseRejected) as raised:
            connection.execute(text(statement), {"name": "+919876543210"})

        assert raised.value.reason.startswith("SQLSTATE ")

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT * FROM not_yet_migrated",
            "INSERT INTO audit_logs (id, created_at, event_type, severity, status, description) "
            "VALUES (gen_random_uuid(), '2000-01-01', 'X', 'LOW', 'success', '')",
        ],
    )
    def test_is_not_raised_for_a_missing_table_or_partition(self, opened, statement):
        with opened().ingest.connection() as connection, pytest.raises(DatabaseError) as raised:
            connection.execute(text(statement))

        assert not isinstance(raised.value, DatabaseRejected | DatabaseAway)


class TestErrors:
    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT nothing_of_the_kind, :name FROM clients",
            "INSERT INTO client_numbers (number, client_id, created_at) VALUES (:name, gen_random_uuid(), now())",
            "INSERT INTO clients (name) VALUES (:name)",
            "SELECT :name, :not_given",
        ],
    )
    def test_of_statements_show_neither_statement_nor_parameters(self, opened, statement):
        with opened().ingest.connection() as connection, pytest.raises(DatabaseError) as raised:
            connection.execute(text(statement), {"name": "+91987654321O"})

        error = raised.value
        assert not isinstance(error, DatabaseAway)
        assert (str(error), error.args, error.details) == ("The database could not answer", (str(error),), None)
        assert error.__cause__ is not None

    def test_of_availability_show_neither_statement_nor_parameters(self, opened):
        with (
            opened(db_statement_timeout_ms=20).ingest.connection() as connection,
            pytest.raises(DatabaseAway) as raised,
        ):
            connection.execute(text("SELECT pg_sleep(60), :name"), {"name": "+919876543210"})

        assert str(raised.value) == "The database could not be reached"
        assert isinstance(raised.value.__cause__, psycopg2.Error)

    def test_do_not_replace_an_interruption(self, opened):
        with opened().ingest.connection() as connection, pytest.raises(KeyboardInterrupt):
            connection.execute(text("SELECT :value"), {"value": _Interrupts()})
