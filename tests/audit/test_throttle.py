from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest
from clocks import Clock

from calyapp.audit import throttle
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.audit.throttle import ThrottledAuditLog
from calyapp.config import Settings
from calyapp.db import engine, queries

KIND = ("rejected", "203.0.113.9", "VALIDATION_ERROR")
OTHER_KIND = ("rejected", "203.0.113.10", "VALIDATION_ERROR")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttled(services, clock):
    return ThrottledAuditLog(services.database.ingest, clock)


@pytest.fixture
def written(query):
    """What the audit log contains: (description, count) of each entry in order."""
    return lambda: query("SELECT description, (metadata->>'count')::int FROM audit_logs ORDER BY created_at, id")


def entry(description, **metadata):
    return Entry.now(EventType.WEBHOOK_REJECTED, description, status="failure", metadata=metadata)


class TestNote:
    def test_writes_the_first_entry_of_a_kind_immediately(self, throttled, written):
        throttled.record(KIND, entry("first"))

        assert written() == [("first", 1)]

    def test_returns_true_for_the_first_entry_that_waits_in_each_interval(self, throttled, clock):
        told = [throttled.record(kind, entry("one"), later=True) for kind in (KIND, KIND, OTHER_KIND, KIND)]
        clock.seconds += throttle.INTERVAL_SECONDS
        throttled.flush()
        told += [throttled.record(KIND, entry("one"), later=True) for _ in range(2)]

        assert told == [True, False, True, False, True, False]

    def test_adds_the_count_to_the_metadata(self, throttled, query):
        throttled.record(KIND, entry("first", code="VALIDATION_ERROR"))

        assert query("SELECT metadata FROM audit_logs") == [({"code": "VALIDATION_ERROR", "count": 1},)]

    def test_keeps_further_entries_until_the_second_is_over(self, throttled, clock, written):
        for number in range(100):
            throttled.record(KIND, entry(f"number {number}"))
        clock.seconds += 0.99
        throttled.flush()

        assert written() == [("number 0", 1)]

    def test_keeps_further_entries_until_the_configured_interval_is_over(self, services, clock, written):
        throttled = ThrottledAuditLog(services.database.ingest, clock, interval=60)
        for seconds in (0, 30, 29, 1):
            clock.seconds += seconds
            throttled.flush()
            throttled.record(KIND, entry("again"))

        assert written() == [("again", 1), ("again", 2)]

    def test_counts_each_client_separately_with_many_sources(self, throttled, query, monkeypatch):
        monkeypatch.setattr(throttle, "_MAX_KINDS", 0)
        for number, client_id in enumerate((UUID(int=1), UUID(int=2), UUID(int=1), None)):
            throttled.record(("rejected", str(number)), replace(entry("crowd"), client_id=client_id))
        throttled.close()

        counts = "SELECT client_id::text, sum((metadata->>'count')::int)::int FROM audit_logs GROUP BY 1 ORDER BY 1"
        assert query(counts) == [(str(UUID(int=1)), 2), (str(UUID(int=2)), 1), (None, 1)]

    def test_counts_each_kind_separately(self, throttled, clock, written):
        for kind, description in ((KIND, "one"), (OTHER_KIND, "two"), (OTHER_KIND, "two again")):
            throttled.record(kind, entry(description))
        clock.seconds += 1
        throttled.flush()

        assert written() == [("one", 1), ("two", 1), ("two again", 1)]

    def test_counts_too_many_kinds_as_one(self, throttled, clock, written, monkeypatch):
        monkeypatch.setattr(throttle, "_MAX_KINDS", 3)

        for number in range(20):
            throttled.record(("rejected", f"203.0.113.{number}"), entry(f"number {number}"))
        at_once = written()
        clock.seconds += 1
        throttled.flush()

        assert at_once == [(f"number {number}", 1) for number in range(4)]
        assert written()[4:] == [("number 19", 16)]

    def test_loses_no_entry_of_many_threads(self, throttled, clock, query):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: throttled.record(KIND, entry("one of many")), range(200)))
        clock.seconds += 1
        throttled.flush()

        assert query("SELECT count(*), sum((metadata->>'count')::int) FROM audit_logs") == [(2, 200)]


class TestFlush:
    def test_writes_the_latest_waiting_entry_with_the_count(self, throttled, clock, written):
        for number in range(100):
            throttled.record(KIND, entry(f"number {number}"))

        clock.seconds += 1
        throttled.flush()

        assert written() == [("number 0", 1), ("number 99", 99)]

    def test_writes_each_entry_once(self, throttled, clock, written):
        throttled.record(KIND, entry("first"))
        throttled.record(KIND, entry("second"))

        for _ in range(3):
            clock.seconds += 1
            throttled.flush()

        assert written() == [("first", 1), ("second", 1)]

    def test_starts_another_interval_for_a_kind_that_continues(self, throttled, clock, written):
        for descriptions in (("first", "second"), ("third", "fourth")):
            for description in descriptions:
                throttled.record(KIND, entry(description))
            before_the_flush = written()
            clock.seconds += 1
            throttled.flush()

        assert before_the_flush == [("first", 1), ("second", 1)]
        assert written() == [("first", 1), ("second", 1), ("fourth", 2)]

    def test_writes_a_kind_without_recent_entries_immediately_again(self, throttled, clock, written):
        throttled.record(KIND, entry("first"))
        clock.seconds += 1
        throttled.flush()

        throttled.record(KIND, entry("long after"))

        assert written() == [("first", 1), ("long after", 1)]


class TestClose:
    def test_writes_waiting_entries_before_their_interval_is_over(self, throttled, written):
        for number in range(5):
            throttled.record(KIND, entry(f"number {number}"))

        throttled.close()

        assert written() == [("number 0", 1), ("number 4", 4)]


class TestDatabaseAway:
    @pytest.fixture
    def nowhere(self):
        """A pool whose database address has no listener."""
        settings = Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"})
        database = engine.database(settings)
        yield database.ingest
        database.close()

    def test_raises_in_no_method(self, nowhere, clock, caplog):
        throttled = ThrottledAuditLog(nowhere, clock)
        for _ in range(3):
            throttled.record(KIND, entry("kept"))
        clock.seconds += 1
        throttled.flush()
        throttled.close()

        assert [record.fields for record in caplog.records] == [
            {"event": "WEBHOOK_REJECTED", "count": 1},
            {"event": "WEBHOOK_REJECTED", "count": 3},
            {"event": "WEBHOOK_REJECTED", "count": 3},
        ]

    def test_is_logged_once_and_not_for_each_source(self, nowhere, clock, caplog):
        throttled = ThrottledAuditLog(nowhere, clock)
        for number in range(20):
            throttled.record(("rejected", f"203.0.113.{number}"), entry("kept"), later=True)
        clock.seconds += 1
        throttled.flush()

        assert [record.fields for record in caplog.records] == [{"event": "WEBHOOK_REJECTED", "count": 20}]

    def test_loses_no_entry(self, nowhere, services, clock, query):
        throttled = ThrottledAuditLog(nowhere, clock)
        for _ in range(3):
            throttled.record(KIND, entry("kept"))
        clock.seconds += 1
        throttled.flush()

        throttled._pool = services.database.ingest
        clock.seconds += 1
        throttled.flush()

        assert query("SELECT metadata->'count' FROM audit_logs") == [(3,)]

    def test_is_not_queried_for_a_deferred_entry(self, services, clock, query):
        throttled = ThrottledAuditLog(services.database.ingest, clock)
        with queries.tallied() as tally:
            throttled.record(KIND, entry("later"), later=True)
        assert tally.count == 0

        clock.seconds += 1
        throttled.flush()

        assert query("SELECT metadata->'count' FROM audit_logs") == [(1,)]
