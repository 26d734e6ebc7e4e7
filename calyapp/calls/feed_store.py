"""Reads a feed of what happens to deliveries while it is recorded: new ones, repeats and refusals. For `caly tail`.

The ledger has no index by time and needs none, because each new delivery has one audit entry. Only the ledger counts
repeats. They are looked up by key, for the deliveries that were seen last.

An entry can become visible long after its time: its transaction commits late, or its delivery waited on the spool. So
each poll starts some time before the end of the previous one, further back after an outage or a replay, and skips the
entries that it remembers.
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
"""How late an entry may become visible and still be seen at once. Longer than any statement of a delivery takes."""
MAX_ROWS = 1_000
MAX_PAGES = 10
MAX_REMEMBERED = 2 * MAX_ROWS * MAX_PAGES
MAX_WATCHED = 500
"""Number of deliveries whose repeats are counted."""


class FeedResult(StrEnum):
    """What happened to a delivery, or to the service."""

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
    """One line of the feed. `count` is the number of occurrences, `event_id` the id of the audit entry or None."""

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
    """A delivery whose repeats are counted. `repeats` is None until the ledger was read."""

    item: FeedItem
    repeats: int | None


class Feed:
    """The feed of all clients or one, with the state of the service. For operators, who see all clients.

    Not thread-safe.
    """

    def __init__(self, pool: Pool, client_id: UUID | None, now: Callable[[], datetime] = clock.now) -> None:
        self._pool = pool
        self._client_id = client_id
        self._now = now
        self._began = now() - OVERLAP
        self._expected_since = self._began
        self._place = _before(self._began)
        self._seen: OrderedDict[UUID, datetime] = OrderedDict()
        self._watched: OrderedDict[tuple[UUID, bytes], _Watched] = OrderedDict()
        # What was read before the database failed is remembered as seen: the next call returns it.
        self._unreported: list[FeedItem] = []
        self._has_replay = False

    def recent(self, count: int) -> list[FeedItem]:
        """Returns the last `count` items before now, oldest first. Call it before the first `poll`."""
        self.poll()
        with tenancy.reading(self._pool, tenancy.ALL) as connection:
            rows = self._rows(connection, _LATEST, limit=count)
            items = [self._remember(row, None) for row in reversed(rows)]
            self._repeats(connection)
        return items

    def poll(self) -> list[FeedItem]:
        """Returns what was recorded since the last call. Reads a bounded number of rows; the next call continues."""
        now = self._now()
        is_complete = False
        with tenancy.reading(self._pool, tenancy.ALL) as connection:
            for _ in range(MAX_PAGES):
                place = {"at": self._place.created_at, "id": str(self._place.id)}
                rows = self._rows(connection, _NEXT, limit=MAX_ROWS, **place)
                for row in rows:
                    if row["id"] not in self._seen:
                        self._unreported.append(self._remember(row, 0))
                        self._has_replay |= row["event_type"] == EventType.SPOOL_REPLAYED
                if is_complete := len(rows) < MAX_ROWS:
                    break
                self._place = Place(rows[-1]["created_at"], rows[-1]["id"])
            self._unreported += self._repeats(connection)
        if is_complete:
            self._expected_since = now - OVERLAP
            self._place = _before(self._remembered_since() if self._has_replay else self._expected_since)
            self._has_replay = False
        items, self._unreported = self._unreported, []
        return items

    def _rows(self, connection: Connection, statement: TextClause, **parameters: object) -> list[Row]:
        client = str(self._client_id) if self._client_id else None
        common = {"types": _TYPES, "service_types": _SERVICE_TYPES, "client": client}
        result = connection.execute(statement, {**common, **parameters})
        return [dict(row) for row in result.mappings()]

    def _remembered_since(self) -> datetime:
        """Returns the moment since when every returned entry is remembered."""
        return next(iter(self._seen.values())) if len(self._seen) == MAX_REMEMBERED else self._began

    def _remember(self, row: Row, repeats: int | None) -> FeedItem:
        """Returns the row as an item. Remembers its id, and watches its delivery for repeats."""
        self._seen[row["id"]] = row["created_at"]
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        item = _item(row)
        if item.client_id and (digest := row["metadata"].get("digest")):
            self._watched[item.client_id, bytes.fromhex(digest)] = _Watched(item, repeats)
            if len(self._watched) > MAX_WATCHED:
                self._watched.popitem(last=False)
        is_late = repeats is not None and item.result is FeedResult.NEW and item.at < self._expected_since
        return replace(item, reason="recorded late, from the spool") if is_late else item

    def _repeats(self, connection: Connection) -> list[FeedItem]:
        keys = list(self._watched)
        parameters = {"clients": [str(client_id) for client_id, _ in keys], "digests": [digest for _, digest in keys]}
        items = []
        for row in connection.execute(_REPEATS, parameters) if keys else ():
            watched = self._watched[row.client_id, bytes(row.digest)]
            new_repeats = row.repeats - (row.repeats if watched.repeats is None else watched.repeats)
            watched.repeats = row.repeats
            if new_repeats > 0:
                repeat = {"result": FeedResult.REPEAT, "count": new_repeats, "event_id": None}
                items.append(replace(watched.item, at=self._now(), **repeat))
        return items


def _before(moment: datetime) -> Place:
    return Place(moment, UUID(int=0))


def _item(row: Row) -> FeedItem:
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
    """Returns the last part of a webhook's path, as deliveries name their route, and the whole path of other routes."""
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
# The parenthesis stays open: `_NEXT` adds the events of the service to it.
_FILTER = "event_type = ANY(CAST(:types AS text[])) AND (CAST(:client AS uuid) IS NULL OR client_id = :client"
_LATEST = named("read_latest_feed_items", f"{_COLUMNS} WHERE {_FILTER}) ORDER BY created_at DESC, id DESC LIMIT :limit")
# The moment is compared twice: only a condition on `created_at` alone excludes the partitions before it.
_NEXT = named(
    "read_feed_items",
    f"{_COLUMNS} WHERE created_at >= :at AND (created_at, id) > (:at, CAST(:id AS uuid)) AND {_FILTER} "
    "OR client_id IS NULL AND event_type = ANY(CAST(:service_types AS text[]))) ORDER BY created_at, id LIMIT :limit",
)
_REPEATS = named(
    "read_repeats",
    "SELECT client_id, digest, repeats FROM deliveries "
    "JOIN unnest(CAST(:clients AS uuid[]), CAST(:digests AS bytea[])) AS watched (client_id, digest) "
    "USING (client_id, digest)",
)
