"""The computed months, and their partitions of the audit log in PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from threading import Barrier

import psycopg2.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from calyapp.db import partitions
from calyapp.errors import DatabaseAway

IST = timezone(timedelta(hours=5, minutes=30))
# Far from the months that the migrations created, and across the end of a year.
NOW = datetime(2031, 11, 15, tzinfo=UTC)
NAMES = ["audit_logs_2031_11", "audit_logs_2031_12", "audit_logs_2032_01", "audit_logs_2032_02"]
INSERT = (
    "INSERT INTO audit_logs (id, created_at, event_type, severity, status, description) "
    "VALUES (gen_random_uuid(), %s, 'CALL_STARTED', 'LOW', 'success', 'Call started')"
)


@pytest.fixture
def within(services):
    """`within(function, *arguments)`: calls the function with a connection in a transaction."""

    def run(function: Callable[..., list[str]], *arguments: object) -> list[str]:
        with services.database.records.transaction() as connection:
            return function(connection, *arguments)

    return run


class TestMonths:
    @pytest.mark.parametrize(
        ("now", "first"),
        [
            (datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
            (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
            (datetime(2027, 1, 1, 5, 29, tzinfo=IST), datetime(2026, 12, 1, tzinfo=UTC)),
            (datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 2, 1, tzinfo=UTC)),
        ],
    )
    def test_begin_with_the_month_of_the_moment_in_utc(self, now, first):
        assert next(partitions.months(now)) == first

    @given(
        st.datetimes(timezones=st.sampled_from([UTC, IST])).filter(lambda now: 1 < now.year < 9990),
        st.integers(0, 40),
    )
    def test_follow_each_other_without_gaps(self, now, ahead):
        months = list(partitions.months(now, ahead + 1))

        assert len(months) == ahead + 2
        assert months[0] <= now < months[1]
        assert all((month.day, month.time(), month.tzinfo) == (1, datetime.min.time(), UTC) for month in months)
        assert all(timedelta(28) <= later - month <= timedelta(31) for month, later in pairwise(months))


class TestEnsure:
    def test_creates_this_month_and_three_more_across_the_end_of_the_year(self, within, query):
        made = within(partitions.ensure, NOW)

        assert made == NAMES
        assert query("SELECT to_regclass(name)::text FROM unnest(%s) AS name", NAMES) == [(name,) for name in NAMES]

    def test_creates_nothing_the_second_time(self, within):
        within(partitions.ensure, NOW)

        assert within(partitions.ensure, NOW) == []

    def test_creates_only_missing_months(self, within, query):
        within(partitions.ensure, NOW)
        query("DROP TABLE audit_logs_2031_12")

        made = within(partitions.ensure, datetime(2031, 12, 31, tzinfo=UTC))

        assert made == ["audit_logs_2031_12", "audit_logs_2032_03"]

    def test_creates_each_month_once_if_called_concurrently(self, within):
        together = Barrier(4)

        def ensure(connection: Connection) -> list[str]:
            together.wait()
            return partitions.ensure(connection, NOW)

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(within, [ensure] * 4))

        assert sorted(made) == [[], [], [], NAMES]

    def test_creates_no_index_that_the_parent_does_not_have(self, within, query):
        within(partitions.ensure, NOW)

        indexes = "SELECT count(*) FROM pg_index WHERE indrelid = %s::regclass"
        assert query(indexes, NAMES[0]) == query(indexes, "audit_logs")

    def test_does_not_block_entries_while_a_month_is_being_attached(self, services, query):
        query("SET lock_timeout = '1s'")

        with services.database.records.transaction() as connection:
            partitions.ensure(connection, NOW)
            query(INSERT, datetime.now(UTC))

        assert query("SELECT count(*) FROM audit_logs") == [(1,)]

    def test_gives_up_and_creates_nothing_if_a_lock_is_held(self, within, query):
        # VACUUM holds such a lock: the month can be created, but not attached.
        query("BEGIN")
        query("LOCK TABLE audit_logs IN SHARE UPDATE EXCLUSIVE MODE")

        with pytest.raises(DatabaseAway) as raised:
            within(partitions.ensure, NOW)

        assert isinstance(raised.value.__cause__, psycopg2.errors.LockNotAvailable)
        query("COMMIT")
        assert query("SELECT relname FROM pg_class WHERE relname LIKE 'audit_logs_203%%'", None) == []


class TestMonth:
    def test_contains_the_entries_from_its_first_moment_to_its_last(self, within, query):
        within(partitions.ensure, NOW)
        new_year = datetime(2032, 1, 1, tzinfo=UTC)

        query(INSERT, new_year - timedelta(microseconds=1))
        query(INSERT, new_year)

        homes = query("SELECT tableoid::regclass::text FROM audit_logs ORDER BY created_at")
        assert homes == [("audit_logs_2031_12",), ("audit_logs_2032_01",)]

    def test_that_is_missing_refuses_its_entries(self, query):
        with pytest.raises(psycopg2.errors.CheckViolation, match="no partition"):
            query(INSERT, NOW)

    def test_is_append_only_like_the_audit_log(self, within, query):
        within(partitions.ensure, NOW)

        with pytest.raises(psycopg2.errors.RestrictViolation):
            query(f"TRUNCATE {NAMES[0]}")


class TestMissing:
    def test_are_this_month_and_the_next_if_none_exists(self, within):
        assert within(partitions.missing, NOW) == NAMES[:2]

    def test_are_none_after_they_are_created(self, within):
        within(partitions.ensure, NOW)

        assert within(partitions.missing, NOW, 3) == []

    def test_include_a_month_that_is_not_attached(self, within, query):
        within(partitions.ensure, NOW)
        query(f"ALTER TABLE audit_logs DETACH PARTITION {NAMES[1]}")

        assert within(partitions.missing, NOW) == [NAMES[1]]
