from datetime import timedelta
from uuid import UUID

import pytest
from events import event
from plans import rows_passed, tables_read
from sqlalchemy import text

from calyapp import clock
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.calls import feed_store
from calyapp.calls.event import Arrival
from calyapp.calls.feed_store import OVERLAP, Feed, FeedResult
from calyapp.db import tenancy
from calyapp.errors import DatabaseError

OURS, THEIRS = "+918047112345", "+918047112346"
SECOND = timedelta(seconds=1)


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = clock.now()

    def __call__(self):
        return self.now


@pytest.fixture
def now():
    return Clock()


@pytest.fixture
def owner(services):
    return services.clients.add("Ours", [OURS])


@pytest.fixture
def arrive(services, now):
    """`arrive(at, dialled)` records a delivery with that arrival time and returns it."""

    def record(at=None, dialled=OURS):
        moment = at or now.now
        delivery = event(dialled=dialled, arrival=Arrival(at=moment, audit_id=clock.uuid7(moment)))
        services.recorder.record(delivery)
        return delivery

    return record


@pytest.fixture
def log(services, now):
    """`log(type_, at, **fields)` writes an audit entry and returns it."""

    def write(type_, at=None, description="Said", **fields):
        moment = at or now.now
        entry = Entry(id=clock.uuid7(moment), created_at=moment, event_type=type_, description=description, **fields)
        audit_log.write(services.database.records, entry)
        return entry

    return write


@pytest.fixture
def feed(services, now, owner):
    return Feed(services.database.records, None, now)


@pytest.fixture
def sids(feed):
    """`sids()` polls the feed and returns the CallSids of its items."""
    return lambda: [item.call_sid for item in feed.poll()]


class TestRecent:
    def test_has_the_last_items_oldest_first(self, feed, arrive, now, owner):
        deliveries = [arrive(now.now - minutes * timedelta(minutes=1)) for minutes in (3, 2, 1)]

        items = feed.recent(2)

        assert [item.call_sid for item in items] == [delivery.call_sid for delivery in deliveries[1:]]
        assert {(item.result, item.route, item.client_id, item.count) for item in items} == {
            (FeedResult.NEW, "call-status", owner.id, 1)
        }
        assert feed.poll() == []

    def test_leaves_out_other_audit_entries(self, feed, log):
        log(EventType.DATA_ACCESSED)

        assert feed.recent(10) == []


class TestPoll:
    def test_returns_each_delivery_once(self, feed, arrive, now, sids):
        feed.recent(10)
        first = arrive()
        first_poll = sids()
        now.now += SECOND
        second = arrive()

        assert (first_poll, sids(), sids()) == ([first.call_sid], [second.call_sid], [])

    def test_returns_a_delivery_that_becomes_visible_out_of_order(self, feed, arrive, now, sids):
        feed.recent(10)
        arrive()
        now.now += SECOND
        sids()
        late = arrive(now.now - 5 * SECOND)
        now.now += SECOND

        assert sids() == [late.call_sid]

    def test_returns_the_number_of_repeats(self, services, feed, arrive, owner):
        before = arrive()
        services.recorder.record(before)
        feed.recent(10)
        delivery = arrive()
        services.recorder.record(delivery)
        services.recorder.record(delivery)

        items = feed.poll()
        services.recorder.record(before)
        later = feed.poll()

        assert [(item.result, item.call_sid, item.count) for item in items] == [
            (FeedResult.NEW, delivery.call_sid, 1),
            (FeedResult.REPEAT, delivery.call_sid, 2),
        ]
        assert [(item.result, item.call_sid, item.client_id) for item in later] == [
            (FeedResult.REPEAT, before.call_sid, owner.id)
        ]

    @pytest.mark.parametrize(
        ("type_", "metadata", "result", "reason"),
        [
            (
                EventType.WEBHOOK_REJECTED,
                {"reason": "From is missing.", "count": 31},
                FeedResult.REFUSED,
                "From is missing.",
            ),
            (EventType.LOGIN_FAILURE, {"count": 31}, FeedResult.REFUSED, "Said"),
            (
                EventType.RATE_LIMIT_EXCEEDED,
                {"limit": 1000, "seconds": 60, "count": 31},
                FeedResult.LIMITED,
                "more than 1000 requests in 60 s",
            ),
            (EventType.ERROR_OCCURRED, {"reason": "KeyError", "count": 31}, FeedResult.FAILED, "KeyError"),
            (EventType.DEGRADED_MODE_ENTERED, {"count": 31}, FeedResult.DEGRADED, "Said"),
        ],
    )
    def test_returns_refusals_with_their_number_and_reason(self, feed, log, type_, metadata, result, reason):
        feed.recent(10)
        entry = log(type_, resource="route", resource_id="/webhooks/exotel/call-start", metadata=metadata)

        (item,) = feed.poll()

        assert (item.result, item.count, item.reason) == (result, 31, reason)
        assert (item.route, item.event_id) == ("call-start", entry.id)

    def test_returns_what_arrived_since_a_long_time(self, feed, arrive, now, sids):
        feed.recent(10)
        deliveries = []
        for _ in range(3):
            now.now += timedelta(minutes=20)
            deliveries.append(arrive())
        now.now += timedelta(minutes=20)

        assert sids() == [delivery.call_sid for delivery in deliveries]

    def test_returns_what_was_replayed_from_the_spool_and_nothing_twice(self, feed, arrive, log, now, sids):
        feed.recent(10)
        arrived = now.now
        on_time = arrive()
        first_poll = sids()
        now.now += timedelta(minutes=5)
        sids()
        late = arrive(arrived + SECOND)
        log(EventType.SPOOL_REPLAYED, metadata={"recorded": 1})
        (replayed,) = feed.poll()
        now.now += SECOND

        (item,) = feed.poll()

        assert first_poll == [on_time.call_sid]
        assert (replayed.result, replayed.reason) == (FeedResult.RECOVERED, "Said: 1 recorded")
        assert (item.call_sid, item.reason) == (late.call_sid, "recorded late, from the spool")
        assert feed.poll() == []

    def test_reads_a_bounded_number_of_rows_and_continues_there(self, feed, arrive, now, sids, monkeypatch):
        feed.recent(10)
        monkeypatch.setattr(feed_store, "MAX_ROWS", 2)
        monkeypatch.setattr(feed_store, "MAX_PAGES", 2)
        now.now += SECOND
        deliveries = [arrive(now.now + number * SECOND / 10) for number in range(7)]

        polls = [sids() for _ in range(3)]

        assert [len(poll) for poll in polls] == [4, 3, 0]
        assert [*polls[0], *polls[1]] == [delivery.call_sid for delivery in deliveries]

    def test_returns_after_a_failure_what_was_read_before_it(self, feed, arrive, sids, monkeypatch):
        feed.recent(10)
        delivery = arrive()
        monkeypatch.setattr(feed_store, "_REPEATS", text("SELECT pg_terminate_backend(pg_backend_pid())"))
        with pytest.raises(DatabaseError):
            feed.poll()
        monkeypatch.undo()

        assert (sids(), sids()) == ([delivery.call_sid], [])

    def test_remembers_a_bounded_number_of_entries(self, services, feed, arrive, now, sids, monkeypatch):
        monkeypatch.setattr(feed_store, "MAX_REMEMBERED", 3)
        monkeypatch.setattr(feed_store, "MAX_WATCHED", 2)
        feed.recent(10)
        deliveries = [arrive(now.now + number * SECOND / 10) for number in range(3)]
        sids()
        for delivery in deliveries:
            services.recorder.record(delivery)

        assert sids() == [delivery.call_sid for delivery in deliveries[1:]]
        assert len(feed._seen) == 3

    def test_of_one_client_returns_nothing_of_another(self, services, owner, arrive, now):
        other = services.clients.add("Theirs", [THEIRS])
        feed = Feed(services.database.records, other.id, now)
        arrive()
        feed.recent(10)
        theirs = arrive(dialled=THEIRS)
        services.recorder.record(arrive())

        assert [item.call_sid for item in feed.poll()] == [theirs.call_sid]

    def test_of_one_client_returns_what_was_replayed_from_the_spool(self, services, owner, arrive, log, now):
        feed = Feed(services.database.records, owner.id, now)
        feed.recent(10)
        arrived = now.now
        now.now += timedelta(minutes=5)
        feed.poll()
        late = arrive(arrived + SECOND)
        log(EventType.SPOOL_REPLAYED, metadata={"recorded": 1})

        polls = [feed.poll(), feed.poll()]

        assert [[item.call_sid for item in poll] for poll in polls] == [[None], [late.call_sid]]


class TestStatements:
    ENTRIES = """
INSERT INTO audit_logs (id, created_at, event_type, severity, status, client_id, description, metadata)
SELECT gen_random_uuid(), now() - number * interval '1 second', 'CALL_STARTED', 'LOW', 'success', %s, 'Said', '{}'
FROM generate_series(1, 20000) AS number
"""
    LEDGER = """
INSERT INTO deliveries (client_id, digest, route, received_at, payload)
SELECT %s, sha256(number::text::bytea), 'heartbeat', now(), '{}' FROM generate_series(1, 20000) AS number
"""

    @pytest.fixture
    def plan(self, services, owner, query):
        """`plan(statement, client_id, **parameters)` executes it among many rows and returns the plan."""
        query(self.ENTRIES, str(owner.id))
        query(self.LEDGER, str(owner.id))
        query("ANALYZE audit_logs, deliveries")

        def explain(statement, client_id=None, **parameters):
            common = {"types": feed_store._TYPES, "service_types": feed_store._SERVICE_TYPES}
            common["client"] = str(client_id) if client_id else None
            with tenancy.reading(services.database.records, tenancy.ALL) as connection:
                sql = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}")
                return connection.scalar(sql, {**common, **parameters})[0]["Plan"]

        return explain

    @pytest.mark.parametrize("one_client", [False, True])
    def test_on_the_audit_log_read_only_the_rows_they_return(self, plan, owner, one_client):
        client_id = owner.id if one_client else None
        overlap = plan(feed_store._NEXT, client_id, at=clock.now() - 10 * OVERLAP, id=str(UUID(int=0)), limit=1000)
        latest = plan(feed_store._LATEST, client_id, limit=10)

        assert rows_passed(overlap) <= 100
        assert rows_passed(latest) <= 12
        months = {table for table in tables_read(overlap) if table.startswith("audit_logs_")}
        assert tables_read(overlap) == months

    def test_on_the_ledger_reads_deliveries_by_key(self, plan, owner, query):
        digests = [bytes(row[0]) for row in query("SELECT digest FROM deliveries LIMIT 50")]

        repeats = plan(feed_store._REPEATS, clients=[str(owner.id)] * len(digests), digests=digests)

        assert rows_passed(repeats) <= 50
