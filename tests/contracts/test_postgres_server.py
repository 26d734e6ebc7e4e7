"""The methods of `PostgresServer`, with which system tests stop, freeze and crash PostgreSQL, work."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest


class TestPostgresServer:
    def test_keeps_what_was_committed_through_a_crash(self, postgres):
        postgres.query("CREATE TABLE kept (n integer)")
        postgres.query("INSERT INTO kept VALUES (1)")

        postgres.stop("immediate")
        postgres.start()

        assert postgres.query("SELECT n FROM kept") == [(1,)]

    def test_refuses_connections_when_it_is_stopped(self, postgres):
        postgres.stop("fast")

        with pytest.raises(psycopg2.OperationalError):
            _ask(postgres.url)

    def test_answers_only_after_it_is_thawed(self, postgres):
        connection = _connect(postgres.url)
        (backend,) = postgres.backends("tests")
        postgres.freeze()
        with ThreadPoolExecutor() as asking:
            answer = asking.submit(_ask, postgres.url)
            _wait_until_stopped(backend)

            assert not answer.done()

            postgres.thaw()
            assert answer.result() == [(1,)]
        connection.close()

    def test_becomes_read_only_and_writable_again(self, postgres):
        postgres.set("default_transaction_read_only", "on")
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            postgres.query("CREATE TABLE refused (n integer)")

        postgres.set("default_transaction_read_only", "off")
        postgres.query("CREATE TABLE taken (n integer)")

    def test_loses_nothing_in_a_failover_to_its_standby(self, postgres, tmp_path):
        standby = postgres.standby(tmp_path / "standby")
        postgres.query("CREATE TABLE kept (n integer)")
        postgres.query("INSERT INTO kept VALUES (1)")

        postgres.stop("immediate")
        standby.promote()
        standby.take_over(postgres)

        assert _ask(postgres.url, "INSERT INTO kept VALUES (2) RETURNING (SELECT count(*) FROM kept)") == [(1,)]


def _wait_until_stopped(pid: int) -> None:
    while "State:\tT" not in Path(f"/proc/{pid}/status").read_text():
        time.sleep(0.01)


def _connect(url: str):
    return psycopg2.connect(url.replace("+psycopg2", ""), application_name="tests")


def _ask(url: str, sql: str = "SELECT 1") -> list[tuple]:
    connection = _connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall()
    connection.close()
    return rows
