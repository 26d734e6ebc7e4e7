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

OURS, THEIRS = "+918047112345", "+918047112346"
SECOND = timedelta(seconds=1)


class Clock:
    """The present, which moves on when it is told to."""

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
    """`arrive(at, dialled)`: a delivery of that arrival is recorded."""

    def record(at=None, dialled=OURS):
        moment = at or now.now
        delivery = event(dialled=dialled, arrival=Arrival(at=moment, audit_id=clock.uuid7(moment)))
        services.recorder.record(delivery)
        return delivery

    return record


@pytest.fixture
def note(services, now):
    """`note(type_, at, **rest)`: an entry of the trail."""

    def write(type_, at=None, description="Said", **rest):
        moment = at or now.now
        entry = Entry(id=clock.uuid7(moment), created_at=moment, event_type=type_, description=description, **rest)
        audit_log.write(services.database.records, entry)
        return entry

    return write


@pytest.fixture
def feed(services, now, owner):
    return Feed(services.database.records, None, now)


@pytest.fixture
def sids(feed):
    """`sids()`: the CallSids of what the feed tells now."""
    return lambda: [news.call_sid for news in feed.poll()]


class TestRecent:
    def test_is_the_last_ones_the_oldest_first(self, feed, arrive, now, owner):
        deliveries = [arrive(now.now - minutes * timedelta(minutes=1)) for minutes in (3, 2, 1)]

        told = feed.recent(2)

        assert [news.call_sid for news in told] == [delivery.call_sid for delivery in deliveries[1:]]
        assert {(news.result, news.route, news.client_id, news.count) for news in told} == {
            (FeedResult.NEW, "call-status", owner.id, 1)
        }
        assert feed.poll() == []

    def test_leaves_out_what_is_no_delivery_and_no_refusal(self, feed, note):
        note(EventType.DATA_ACCESSED)

        assert feed.recent(10) == []


class TestPoll:
    def test_tells_of_each_once(self, feed, arrive, now, sids):
        feed.recent(10)
        first = arrive()
        heard = sids()
        now.now += SECOND
        second = arrive()

        assert (heard, sids(), sids()) == ([first.call_sid], [second.call_sid], [])

    def test_tells_of_what_becomes_visible_out_of_order(self, feed, arrive, now, sids):
        feed.recent(10)
        arrive()
        now.now += SECOND
        sids()
        late = arrive(now.now - 5 * SECOND)
        now.now += SECOND

        assert sids() == [late.call_sid]

    def test_tells_of_repeats_with_their_number(self, services, feed, arrive, owner):
        before = arrive()
        services.recorder.record(before)
        feed.recent(10)
        delivery = arrive()
        services.recorder.record(delivery)
        services.recorder.record(delivery)

        told = feed.poll()
        services.recorder.record(before)
        later = feed.poll()

        assert [(news.result, news.call_sid, news.count) for news in told] == [
            (FeedResult.NEW, delivery.call_sid, 1),
            (FeedResult.REPEAT, delivery.call_sid, 2),
        ]
        assert [(news.result, news.call_sid, news.client_id) for news in later] == [
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
    def test_tells_of_refusals_with_their_number_and_reason(self, feed, note, type_, metadata, result, reason):
        feed.recent(10)
        entry = note(type_, resource="route", resource_id="/webhooks/exotel/call-start", metadata=metadata)

        (news,) = feed.poll()

        assert (news.result, news.count, news.reason) == (result, 31, reason)
        assert (news.route, news.event_id) == ("call-start", entry.id)

    def test_tells_what_arrived_while_it_could_not_ask(self, feed, arrive, now, sids):
        feed.recent(10)
        deliveries = []
        for _ in range(3):
            now.now += timedelta(minutes=20)
            deliveries.append(arrive())
        now.now += timedelta(minutes=20)

        assert sids() == [delivery.call_sid for delivery in deliveries]

    def test_tells_what_was_replayed_from_the_spool_and_nothing_twice(self, feed, arrive, note, now, sids):
        feed.recent(10)
        arrived = now.now
        on_time = arrive()
        heard = sids()
        now.now += timedelta(minutes=5)
        sids()
        late = arrive(arrived + SECOND)
        note(EventType.SPOOL_REPLAYED, metadata={"recorded": 1})
        (replayed,) = feed.poll()
        now.now += SECOND

        (news,) = feed.poll()

        assert heard == [on_time.call_sid]
        assert (replayed.result, replayed.reason) == (FeedResult.RECOVERED, "Said: 1 recorded")
        assert (news.call_sid, news.reason) == (late.call_sid, "recorded late, from the spool")
        assert feed.poll() == []

    def test_reads_a_bounded_number_of_rows_and_goes_on_where_it_stopped(self, feed, arrive, now, sids, monkeypatch):
        feed.recent(10)
        monkeypatch.setattr(feed_store, "MAX_ROWS", 2)
        monkeypatch.setattr(feed_store, "MAX_PAGES", 2)
        now.now += SECOND
        deliveries = [arrive(now.now + number * SECOND / 10) for number in range(7)]

        told = [sids() for _ in range(3)]

        assert [len(some) for some in told] == [4, 3, 0]
        assert [*told[0], *told[1]] == [delivery.call_sid for delivery in deliveries]

    def test_remembers_a_bounded_number(self, services, feed, arrive, now, sids, monkeypatch):
        monkeypatch.setattr(feed_store, "MAX_REMEMBERED", 3)
        monkeypatch.setattr(feed_store, "MAX_WATCHED", 2)
        feed.recent(10)
        deliveries = [arrive(now.now + number * SECOND / 10) for number in range(3)]
        sids()
        for delivery in deliveries:
            services.recorder.record(delivery)

        assert sids() == [delivery.call_sid for delivery in deliveries[1:]]
        assert len(feed._seen) == 3

    def test_of_one_client_tells_nothing_of_another(self, services, owner, arrive, now):
        other = services.clients.add("Theirs", [THEIRS])
        feed = Feed(services.database.records, other.id, now)
        arrive()
        feed.recent(10)
        theirs = arrive(dialled=THEIRS)
        services.recorder.record(arrive())

        assert [news.call_sid for news in feed.poll()] == [theirs.call_sid]

    def test_of_one_client_tells_what_was_replayed_from_the_spool_too(self, services, owner, arrive, note, now):
        feed = Feed(services.database.records, owner.id, now)
        feed.recent(10)
        arrived = now.now
        now.now += timedelta(minutes=5)
        feed.poll()
        late = arrive(arrived + SECOND)
        note(EventType.SPOOL_REPLAYED, metadata={"recorded": 1})

        told = [feed.poll(), feed.poll()]

        assert [[news.call_sid for news in some] for some in told] == [[None], [late.call_sid]]


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
        """`plan(statement, client_id, **given)`: how the server carries it out, among many rows."""
        query(self.ENTRIES, str(owner.id))
        query(self.LEDGER, str(owner.id))
        query("ANALYZE audit_logs, deliveries")

        def explain(statement, client_id=None, **given):
            known = {"types": feed_store._TYPES, "service_types": feed_store._SERVICE_TYPES}
            known["client"] = str(client_id) if client_id else None
            with tenancy.reading(services.database.records, tenancy.ALL) as connection:
                sql = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}")
                return connection.scalar(sql, {**known, **given})[0]["Plan"]

        return explain

    @pytest.mark.parametrize("of_one", [False, True])
    def test_of_the_trail_read_what_they_tell_and_no_more(self, plan, owner, of_one):
        client_id = owner.id if of_one else None
        overlap = plan(feed_store._NEXT, client_id, at=clock.now() - 10 * OVERLAP, id=str(UUID(int=0)), limit=1000)
        latest = plan(feed_store._LATEST, client_id, limit=10)

        assert rows_passed(overlap) <= 100
        assert rows_passed(latest) <= 12
        months = {table for table in tables_read(overlap) if table.startswith("audit_logs_")}
        assert tables_read(overlap) == months

    def test_of_the_ledger_looks_its_deliveries_up(self, plan, owner, query):
        digests = [bytes(row[0]) for row in query("SELECT digest FROM deliveries LIMIT 50")]

        found = plan(feed_store._REPEATS, clients=[str(owner.id)] * len(digests), digests=digests)

        assert rows_passed(found) <= 50
