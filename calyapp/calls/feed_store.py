"""What becomes of deliveries, as it is recorded: new ones, repeats and refusals. For people who watch.

The ledger has no index by time, and needs none: each new delivery has one entry in the trail. Repeats, which the ledger
alone knows, are looked up by key for the deliveries that were seen last.

Entries can become visible long after their moment: a transaction commits late, or a delivery waited on the spool. So a
reading begins a while before the last one ended, further back after an outage or a replay, and skips what it remembers.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause

from calyapp import clock
from calyapp.audit.events import EventType
from calyapp.db import tenancy
from calyapp.db.engine import Pool
from calyapp.db.keyset import Place, Row
from calyapp.db.queries import named

OVERLAP = timedelta(seconds=10)
"""How late an entry may become visible and still be seen at once; more than any statement of a delivery takes."""
MAX_ROWS = 1_000
MAX_PAGES = 10
MAX_REMEMBERED = 2 * MAX_ROWS * MAX_PAGES
MAX_WATCHED = 500
"""Deliveries whose repeats are looked for."""


class FeedResult(StrEnum):
    """What became of a delivery, or of the service that takes it."""

    NEW = "new"
    REPEAT = "repeat"
    REFUSED = "refused"
    LIMITED = "limited"
    FAILED = "failed"
    DEGRADED = "degraded"
    RECOVERED = "recovered"


_RESULTS = {
    EventType.CALL_STARTED: FeedResult.NEW,
    EventType.CALL_STATUS_CHANGED: FeedResult.NEW,
    EventType.CALL_ENDED: FeedResult.NEW,
    EventType.RECORDING_RECEIVED: FeedResult.NEW,
    EventType.DELIVERY_RECEIVED: FeedResult.NEW,
    EventType.HEARTBEAT_RECEIVED: FeedResult.NEW,
    EventType.CALL_IMPORTED: FeedResult.NEW,
    EventType.WEBHOOK_REJECTED: FeedResult.REFUSED,
    EventType.ACCESS_DENIED: FeedResult.REFUSED,
    EventType.LOGIN_FAILURE: FeedResult.REFUSED,
    EventType.RATE_LIMIT_EXCEEDED: FeedResult.LIMITED,
    EventType.ERROR_OCCURRED: FeedResult.FAILED,
    EventType.DEGRADED_MODE_ENTERED: FeedResult.DEGRADED,
    EventType.DEGRADED_MODE_LEFT: FeedResult.RECOVERED,
    EventType.SPOOL_REPLAYED: FeedResult.RECOVERED,
}
_TYPES = [event.value for event in _RESULTS]
_SERVICE_RESULTS = (FeedResult.DEGRADED, FeedResult.RECOVERED)
_SERVICE_TYPES = [event.value for event, result in _RESULTS.items() if result in _SERVICE_RESULTS]
"""Events of the service. They concern every client, and announce that deliveries are recorded late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedItem:
    """One line of the feed. `count` is the number of occurrences; `event_id` names the trail's entry, if it has one."""

    at: datetime
    result: FeedResult
    route: str | None
    client_id: UUID | None
    call_sid: str | None
    count: int
    reason: str | None
    event_id: UUID | None


@dataclass(slots=True)
class _Watched:
    """A delivery whose repeats are looked for. None are known while it was not looked up."""

    news: FeedItem
    repeats: int | None


class Feed:
    """Of all clients or one, and how the service is that takes them. For operators, who see all; for one thread."""

    def __init__(self, pool: Pool, client_id: UUID | None, now: Callable[[], datetime] = clock.now) -> None:
        self._pool = pool
        self._client_id = client_id
        self._now = now
        self._began = now() - OVERLAP
        self._expected_since = self._began
        self._place = _before(self._began)
        self._seen: OrderedDict[UUID, datetime] = OrderedDict()
        self._watched: OrderedDict[tuple[UUID, bytes], _Watched] = OrderedDict()

    def recent(self, count: int) -> list[FeedItem]:
        """The last ones that were recorded before now, the oldest first. Ask for them before `poll`."""
        self.poll()
        with tenancy.reading(self._pool, tenancy.ALL) as connection:
            rows = self._rows(connection, _LATEST, limit=count)
            told = [self._tell(row, None) for row in reversed(rows)]
            self._repeats(connection)
        return told

    def poll(self) -> list[FeedItem]:
        """What was recorded since the last time. Reads a bounded number of rows: what is beyond comes the next time."""
        now = self._now()
        told: list[FeedItem] = []
        is_complete, replayed = False, False
        with tenancy.reading(self._pool, tenancy.ALL) as connection:
            for _ in range(MAX_PAGES):
                place = {"at": self._place.created_at, "id": str(self._place.id)}
                rows = self._rows(connection, _NEXT, limit=MAX_ROWS, **place)
                for row in rows:
                    if row["id"] not in self._seen:
                        told.append(self._tell(row, 0))
                        replayed |= row["event_type"] == EventType.SPOOL_REPLAYED
                if is_complete := len(rows) < MAX_ROWS:
                    break
                self._place = Place(rows[-1]["created_at"], rows[-1]["id"])
            told += self._repeats(connection)
        if is_complete:
            self._expected_since = now - OVERLAP
            self._place = _before(self._remembered_since() if replayed else self._expected_since)
        return told

    def _rows(self, connection: Connection, statement: TextClause, **given: object) -> list[Row]:
        client = str(self._client_id) if self._client_id else None
        known = {"types": _TYPES, "service_types": _SERVICE_TYPES, "client": client}
        found = connection.execute(statement, {**known, **given})
        return [dict(row) for row in found.mappings()]

    def _remembered_since(self) -> datetime:
        """All that was told of the time from here on is remembered."""
        return next(iter(self._seen.values())) if len(self._seen) == MAX_REMEMBERED else self._began

    def _tell(self, row: Row, repeats: int | None) -> FeedItem:
        self._seen[row["id"]] = row["created_at"]
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        news = _news(row)
        if news.client_id and (digest := row["metadata"].get("digest")):
            self._watched[news.client_id, bytes.fromhex(digest)] = _Watched(news, repeats)
            if len(self._watched) > MAX_WATCHED:
                self._watched.popitem(last=False)
        is_late = repeats is not None and news.result is FeedResult.NEW and news.at < self._expected_since
        return replace(news, reason="recorded late, from the spool") if is_late else news

    def _repeats(self, connection: Connection) -> list[FeedItem]:
        keys = list(self._watched)
        given = {"clients": [str(client_id) for client_id, _ in keys], "digests": [digest for _, digest in keys]}
        told = []
        for row in connection.execute(_REPEATS, given) if keys else ():
            watched = self._watched[row.client_id, bytes(row.digest)]
            more = row.repeats - (row.repeats if watched.repeats is None else watched.repeats)
            watched.repeats = row.repeats
            if more > 0:
                told.append(replace(watched.news, at=self._now(), result=FeedResult.REPEAT, count=more, event_id=None))
        return told


def _before(moment: datetime) -> Place:
    return Place(moment, UUID(int=0))


def _news(row: Row) -> FeedItem:
    event, metadata = EventType(row["event_type"]), row["metadata"] or {}
    return FeedItem(
        at=row["created_at"],
        result=_RESULTS[event],
        route=metadata.get("route") or _route(row),
        client_id=row["client_id"],
        call_sid=metadata.get("callSid"),
        count=metadata.get("count", 1),
        reason=None if _RESULTS[event] is FeedResult.NEW else _reason(event, row["description"], metadata),
        event_id=row["id"],
    )


def _route(row: Row) -> str | None:
    """That of a webhook by its last word, as deliveries have it; any other whole."""
    if row["resource"] != "route" or row["resource_id"] is None:
        return None
    path: str = row["resource_id"]
    return path.rstrip("/").rpartition("/")[2] if path.startswith("/webhooks/") else path


def _reason(event: EventType, description: str, metadata: Mapping[str, Any]) -> str:
    if event is EventType.RATE_LIMIT_EXCEEDED and "limit" in metadata:
        return f"more than {metadata['limit']} requests in {metadata['seconds']} s"
    if event is EventType.SPOOL_REPLAYED:
        return f"{description}: " + ", ".join(f"{count} {name}" for name, count in sorted(metadata.items()))
    return str(metadata.get("reason", description))


_COLUMNS = "SELECT id, created_at, event_type, client_id, description, resource, resource_id, metadata FROM audit_logs "
_OURS = "event_type = ANY(CAST(:types AS text[])) AND (CAST(:client AS uuid) IS NULL OR client_id = :client"
_LATEST = named("read_latest_news", f"{_COLUMNS} WHERE {_OURS}) ORDER BY created_at DESC, id DESC LIMIT :limit")
# The moment is said twice, for only a condition on the one column leaves out the months before it.
_NEXT = named(
    "read_news",
    f"{_COLUMNS} WHERE created_at >= :at AND (created_at, id) > (:at, CAST(:id AS uuid)) AND {_OURS} "
    "OR client_id IS NULL AND event_type = ANY(CAST(:service_types AS text[]))) ORDER BY created_at, id LIMIT :limit",
)
_REPEATS = named(
    "read_repeats",
    "SELECT client_id, digest, repeats FROM deliveries "
    "JOIN unnest(CAST(:clients AS uuid[]), CAST(:digests AS bytea[])) AS asked (client_id, digest) "
    "USING (client_id, digest)",
)
