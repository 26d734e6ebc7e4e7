"""Tests the rows of docs/degraded-modes.md about PostgreSQL: the answers to Exotel, and what is recorded."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from postgres_server import PostgresServer
from rehearsal import Rehearsal, statuses
from running_server import eventually
from traffic import Delivery, whole_call

DEGRADED = (200, "degraded")


@contextmanager
def stopped(postgres: PostgresServer) -> Iterator[None]:
    postgres.stop()
    yield
    postgres.start()


@contextmanager
def frozen(postgres: PostgresServer) -> Iterator[None]:
    postgres.freeze()
    try:
        yield
    finally:
        postgres.thaw()


@contextmanager
def read_only(postgres: PostgresServer) -> Iterator[None]:
    postgres.set("default_transaction_read_only", "on")
    try:
        yield
    finally:
        postgres.set("default_transaction_read_only", "off")


@contextmanager
def slowed(postgres: PostgresServer, seconds: float) -> Iterator[None]:
    """Makes the database take this long for each delivery."""
    postgres.query(
        "CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql "
        f"AS 'BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END'"
    )
    postgres.query("CREATE TRIGGER sleep BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION sleep()")
    try:
        yield
    finally:
        postgres.query("DROP FUNCTION sleep CASCADE")


@contextmanager
def broken(postgres: PostgresServer) -> Iterator[None]:
    """Adds a trigger that fails as if it could not load its library."""
    postgres.query(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE 'could not access file' USING ERRCODE = 'undefined_file'; END $$"
    )
    postgres.query("CREATE TRIGGER broken BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION broken()")
    try:
        yield
    finally:
        postgres.query("DROP FUNCTION broken CASCADE")


@contextmanager
def locked(postgres: PostgresServer) -> Iterator[None]:
    """Holds an exclusive lock on a table, as a long ALTER TABLE does."""
    with closing(connect(postgres)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def no_connection_left(postgres: PostgresServer) -> Iterator[None]:
    """Occupies every connection that the server allows, including those of Caly."""
    with ExitStack() as held:
        first = held.enter_context(closing(connect(postgres)))
        first.autocommit = True

        def all_are_held() -> bool:
            with suppress(psycopg2.OperationalError):
                while True:
                    held.enter_context(closing(connect(postgres)))
            with first.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'caly'")
                return cursor.rowcount == 0

        eventually(all_are_held)
        yield


def connect(postgres: PostgresServer) -> psycopg2.extensions.connection:
    return psycopg2.connect(postgres.url.replace("+psycopg2", ""))


def call_start_without_key(rehearsal: Rehearsal) -> Delivery:
    """Returns a call start whose client is known only by the dialled number."""
    start = next(whole_call(rehearsal.tenant, uuid4().hex, None))
    return replace(start, path="/webhooks/exotel/call-start?")


def levels(rehearsal: Rehearsal, message: str) -> set[str]:
    """Returns the levels at which this message is logged."""
    return {line["level"] for line in rehearsal.server.log_lines() if line["message"] == message}


@pytest.fixture(scope="module")
def rehearsal(module_serve, module_postgres, tenant) -> Rehearsal:
    """Runs on two workers, each with three connections for deliveries: fewer than its threads."""
    environment = {"DATABASE_URL": module_postgres.url, "DB_POOL_MAX": "4", "DB_POOL_MIN": "2"}
    server = module_serve("--workers", "2", **environment)
    return Rehearsal(server, tenant(server), module_postgres.query)


def assert_spooled_and_recovered(rehearsal: Rehearsal, trouble: AbstractContextManager[object]) -> None:
    """Asserts that every delivery is acknowledged and spooled during the fault, and recorded after it."""
    before = rehearsal.spooled()

    with trouble:
        answers = rehearsal.deliver()
        eventually(lambda: rehearsal.server.readiness() == DEGRADED)
        spooled = rehearsal.spooled() - before

    assert statuses(answers) == {200}
    assert spooled == len(answers)
    rehearsal.check_recovery()


# ---- Unavailable, then back ----


def test_postgresql_down(rehearsal, module_postgres):
    entered = rehearsal.count_entries("DEGRADED_MODE_ENTERED")

    assert_spooled_and_recovered(rehearsal, stopped(module_postgres))

    assert rehearsal.count_entries("DEGRADED_MODE_ENTERED") > entered


def test_postgresql_restarted(rehearsal, module_postgres):
    rehearsal.deliver()  # opens the connections that the restart breaks

    module_postgres.stop("fast")
    module_postgres.start()
    answers = rehearsal.deliver()

    assert statuses(answers) == {200}
    rehearsal.check_recovery()


def test_postgresql_failed_over(serve, tenant, postgres, tmp_path):
    server = serve("--workers", "2", DATABASE_URL=postgres.url)
    standby = postgres.standby(tmp_path / "standby")
    rehearsal = Rehearsal(server, tenant(server), standby.query)
    before = rehearsal.deliver()

    postgres.stop()
    meanwhile = rehearsal.deliver()
    standby.promote()
    standby.take_over(postgres)
    after = rehearsal.deliver()

    assert statuses(before + meanwhile + after) == {200}
    # The promoted server has no standby of its own that could confirm its commits.
    standby.set("synchronous_standby_names", "")
    rehearsal.check_recovery()


# ---- Running, but unusable ----


def test_postgresql_frozen(rehearsal, module_postgres):
    with frozen(module_postgres):
        answers = rehearsal.deliver()
        eventually(lambda: rehearsal.server.readiness() == DEGRADED)

    assert statuses(answers) == {200}
    rehearsal.check_recovery()


def test_postgresql_read_only(rehearsal, module_postgres):
    assert_spooled_and_recovered(rehearsal, read_only(module_postgres))


def test_postgresql_out_of_connections(rehearsal, module_postgres):
    assert_spooled_and_recovered(rehearsal, no_connection_left(module_postgres))


# ---- Running, but slow ----


def test_statements_over_their_budget(rehearsal, module_postgres):
    before = rehearsal.spooled()

    with slowed(module_postgres, seconds=3):
        answers = rehearsal.deliver()
        spooled = rehearsal.spooled() - before
        readiness = rehearsal.server.readiness()

    assert statuses(answers) == {200}
    assert spooled == len(answers)
    assert readiness[0] == 200
    rehearsal.check_recovery()


def test_tables_locked_by_somebody_else(rehearsal, module_postgres):
    assert_spooled_and_recovered(rehearsal, locked(module_postgres))


def test_trigger_fails(rehearsal, module_postgres):
    assert_spooled_and_recovered(rehearsal, broken(module_postgres))


def test_pool_exhausted(rehearsal, module_postgres):
    before = rehearsal.spooled()

    with slowed(module_postgres, seconds=0.7), ThreadPoolExecutor(3) as callers:  # each statement within its budget
        answers = [attempt for sent in callers.map(lambda _: rehearsal.deliver(), range(3)) for attempt in sent]
        spooled = rehearsal.spooled() - before

    assert statuses(answers) == {200}
    assert spooled > 0
    rehearsal.check_recovery()


# ---- Running, with an incomplete schema ----


def test_months_partition_missing(rehearsal, module_postgres):
    before = rehearsal.spooled()
    ((partition,),) = module_postgres.query("SELECT 'audit_logs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')")
    module_postgres.query(f"ALTER TABLE audit_logs DETACH PARTITION {partition}")
    module_postgres.query(f"ALTER TABLE {partition} RENAME TO mislaid")

    answers = rehearsal.deliver()
    eventually(lambda: rehearsal.server.readiness() == DEGRADED)
    spooled = rehearsal.spooled() - before
    bounds = "FOR VALUES FROM (date_trunc('month', now())) TO (date_trunc('month', now()) + interval '1 month')"
    module_postgres.query(f"ALTER TABLE mislaid RENAME TO {partition}")
    module_postgres.query(f"ALTER TABLE audit_logs ATTACH PARTITION {partition} {bounds}")

    assert statuses(answers) == {200}
    assert spooled == len(answers)
    rehearsal.check_recovery()


def test_migrations_missing(serve, tenant, postgres):
    beforehand = serve(DATABASE_URL=postgres.url)
    rehearsal = Rehearsal(beforehand, tenant(beforehand), postgres.query)
    beforehand.stop()
    postgres.query("ALTER SCHEMA public RENAME TO mislaid")
    postgres.query("CREATE SCHEMA public")

    rehearsal.move_to(serve("--workers", "2", DATABASE_URL=postgres.url))
    answers = rehearsal.deliver()
    readiness = rehearsal.server.readiness()
    postgres.query("DROP SCHEMA public")
    postgres.query("ALTER SCHEMA mislaid RENAME TO public")

    assert statuses(answers) == {200}
    assert readiness == DEGRADED
    rehearsal.check_recovery()


# ---- PostgreSQL down when the service starts ----


def test_start_without_postgresql(serve, tenant, postgres):
    beforehand = serve(DATABASE_URL=postgres.url)
    rehearsal = Rehearsal(beforehand, tenant(beforehand), postgres.query)
    copy = Path(beforehand.environment["SPOOL_DIR"]) / "directory"
    eventually(lambda: rehearsal.tenant["id"] in copy.read_text())
    beforehand.stop()

    with stopped(postgres):
        rehearsal.move_to(serve("--workers", "2", DATABASE_URL=postgres.url))
        answers = rehearsal.deliver()
        readiness = rehearsal.server.readiness()
        by_number = rehearsal.send([call_start_without_key(rehearsal)])

    assert statuses(answers) == {200}
    assert statuses(by_number) == {200}
    assert readiness == DEGRADED
    assert levels(rehearsal, "started without the database, on the directory's copy on disk") == {"warn"}
    rehearsal.check_recovery(spooled=len(answers) + 1)


@pytest.mark.parametrize("content", [None, b"neither checksum nor clients"], ids=["missing", "damaged"])
def test_start_without_postgresql_and_without_the_directorys_copy(serve, tenant, postgres, content):
    beforehand = serve(DATABASE_URL=postgres.url)
    rehearsal = Rehearsal(beforehand, tenant(beforehand), postgres.query)
    beforehand.stop()
    copy = Path(beforehand.environment["SPOOL_DIR"]) / "directory"
    copy.unlink()
    if content:
        copy.write_bytes(content)

    with stopped(postgres):
        rehearsal.move_to(serve("--workers", "2", DATABASE_URL=postgres.url))
        answers = rehearsal.deliver()
        readiness = rehearsal.server.readiness()
        by_number = rehearsal.send([call_start_without_key(rehearsal)])

    assert statuses(answers) == {200}  # the key identifies the client
    assert statuses(by_number) == {404}
    assert readiness == DEGRADED
    rehearsal.check_recovery(spooled=len(answers) + 1)
