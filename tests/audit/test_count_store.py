"""Compares the counts with the audit log after concurrent and repeated changes of both."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import MappingProxyType
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calyapp import clock
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.count_store import FRESH_SECONDS, EventCounts
from calyapp.audit.events import EventType
from calyapp.audit.throttle import ThrottledAuditLog
from calyapp.db import tenancy

OURS, THEIRS = UUID(int=1), UUID(int=2)
NOW = clock.now()
TODAY = NOW.date()
SINCE, UNTIL = TODAY, TODAY + timedelta(days=60)
ENTRIES = st.builds(
    lambda type_, status, client_id, days, metadata: (type_, status, client_id, timedelta(days=days), metadata),
    st.sampled_from([EventType.CALL_ENDED, EventType.LOGIN_FAILURE, EventType.DELIVERY_DROPPED]),
    st.sampled_from(["success", "failure"]),
    st.sampled_from([OURS, THEIRS, None]),
    st.integers(0, 45),
    st.sampled_from([{}, {"count": 1}, {"count": 40}]),
)


def entry(
    type_=EventType.CALL_ENDED, status="success", client_id=OURS, later=timedelta(0), metadata=MappingProxyType({})
) -> Entry:
    moment = NOW + later
    return Entry(
        id=clock.uuid7(moment),
        created_at=moment,
        event_type=type_,
        description="Said",
        status=status,
        client_id=client_id,
        metadata=dict(metadata),
    )


@pytest.fixture
def add(services):
    """`add(*entries)`: adds audit entries in one transaction, with one statement each."""
    return lambda *entries: audit_log.write(services.database.records, *entries)


@pytest.fixture
def counts(services):
    return services.event_counts


@pytest.fixture
def count(services):
    """`count(tenant, client_id, since, until)`: reads the counts, without the cache."""

    def read(tenant=tenancy.ALL, client_id=None, since=SINCE, until=UNTIL):
        return EventCounts(services.database.records).read(tenant, client_id, since, until)

    return read


@pytest.fixture
def plain(query):
    """`plain(condition)`: the same counts, computed from the audit log as the documentation says."""

    def read(condition="true"):
        rows = query(
            "SELECT event_type, severity, status, (created_at AT TIME ZONE 'UTC')::date, "
            "sum(coalesce((metadata->>'count')::int, 1)) FROM audit_logs "
            f"WHERE {condition} AND created_at >= %s AND created_at < %s GROUP BY 1, 2, 3, 4",
            SINCE,
            UNTIL,
        )
        return tuple(
            {name: sum(row[4] for row in rows if row[place] == name) for name in {row[place] for row in rows}}
            for place in range(4)
        )

    return read


def found(counts):
    return counts.types, counts.severities, counts.statuses, counts.days


class TestRead:
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=st.lists(st.one_of(st.lists(ENTRIES, max_size=4), st.just("repeat"), st.just("fold")), max_size=12))
    def test_matches_the_audit_log_after_any_sequence_of_steps(self, add, counts, count, plain, steps):
        added = [entry()]
        for step in steps:
            if step == "fold":
                counts.fold()
            elif step == "repeat":
                add(*added)
            else:
                added = [entry(*kind) for kind in step] or added
                add(*added)

        assert found(count()) == plain()
        assert found(count(OURS)) == found(count(tenancy.ALL, OURS)) == plain(f"client_id = '{OURS}'")

    def test_counts_a_throttled_entry_as_often_as_it_occurred(self, services, count):
        now = [0.0]
        throttled = ThrottledAuditLog(services.database.records, lambda: now[0])
        for _ in range(31):
            throttled.record(("login",), entry(EventType.LOGIN_FAILURE, "failure"))
        throttled.close()

        assert found(count()) == ({"LOGIN_FAILURE": 31}, {"MEDIUM": 31}, {"failure": 31}, {TODAY: 31})

    @pytest.mark.parametrize("odd", ["many", "", -4, 0, 1.5, None, [], 10**12])
    def test_counts_an_entry_with_an_invalid_count_once(self, add, count, odd):
        add(entry(metadata={"count": odd}))

        assert count().types == {"CALL_ENDED": 1}

    def test_is_exact_while_other_threads_add_and_fold(self, add, counts, query):
        def add_many(_number):
            for _ in range(40):
                add(entry(), entry(client_id=THEIRS))

        sums = (
            "SELECT (SELECT count(*) FROM audit_logs), (SELECT coalesce(sum(entries), 0) FROM "
            "(SELECT * FROM audit_counts_daily UNION ALL SELECT * FROM audit_counts_pending) AS counts)"
        )
        seen = []
        with ThreadPoolExecutor(4) as pool:
            adding = [pool.submit(add_many, number) for number in range(2)]
            folding = [pool.submit(lambda: [counts.fold() for _ in range(40)]) for _ in range(2)]
            while not all(work.done() for work in (*adding, *folding)):
                seen += query(sums)
            for work in (*adding, *folding):
                work.result()

        counts.fold()
        assert [both for both in seen if both[0] != both[1]] == []
        assert query(sums) == [(160, 160)]
        assert query("SELECT count(*) FROM audit_counts_pending") == [(0,)]

    def test_begins_with_since_and_ends_before_until(self, add, count):
        add(*(entry(later=timedelta(days=days)) for days in range(4)))

        days = count(since=TODAY + timedelta(days=1), until=TODAY + timedelta(days=3)).days

        assert days == {TODAY + timedelta(days=1): 1, TODAY + timedelta(days=2): 1}

    def test_shows_a_tenant_no_counts_of_another(self, add, counts, count):
        add(entry(), entry(client_id=None))
        counts.fold()
        add(entry())

        assert found(count(THEIRS)) == found(count(THEIRS, OURS)) == ({}, {}, {}, {})
        assert count(OURS).types == {"CALL_ENDED": 2}

    def test_is_cached_for_a_minute_for_the_same_query(self, services, add):
        now = [0.0]
        counts = EventCounts(services.database.records, lambda: now[0])
        asked = [(OURS, None), (tenancy.ALL, None), (tenancy.ALL, OURS)]

        def totals():
            return [counts.read(*one, SINCE, UNTIL).types.total() for one in asked]

        first = totals()
        add(entry())
        now[0] = FRESH_SECONDS - 1
        same = totals()
        now[0] = FRESH_SECONDS
        after = totals()

        assert (first, same, after) == ([0, 0, 0], [0, 0, 0], [1, 1, 1])


class TestFold:
    def test_does_nothing_while_another_process_folds(self, add, counts, query):
        add(entry())
        query("SELECT pg_advisory_lock(%s)", 0x63616C79_0002)

        counts.fold()

        assert query("SELECT count(*) FROM audit_counts_pending") == [(1,)]

    def test_adds_to_the_counts_folded_before(self, add, counts, query):
        for _ in range(2):
            add(entry(), entry(), entry(client_id=None), entry(client_id=None))
            counts.fold()

        rows = query("SELECT client_id::text, day, event_type, severity, status, entries FROM audit_counts_daily")
        assert sorted(rows, key=str) == [
            (str(OURS), TODAY, "CALL_ENDED", "LOW", "success", 4),
            (None, TODAY, "CALL_ENDED", "LOW", "success", 4),
        ]
