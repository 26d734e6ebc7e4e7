"""Reads calls and their deliveries for users and programs. Each tenant sees only its own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Text, case, cast, func, select

from calyapp.db import keyset, tenancy
from calyapp.db.engine import Pool
from calyapp.db.keyset import Page, Place, Row
from calyapp.db.tables import calls, deliveries
from calyapp.db.tenancy import Tenant

MAX_TIMELINE_DELIVERIES = 1000
MAX_TIMELINE_BYTES = 4 * 1024 * 1024
"""Bytes of parameters before the last delivery. Without this bound, 1000 deliveries could have 1 MiB each."""


@dataclass(frozen=True, slots=True)
class CallWithTimeline:
    """A call's row and its deliveries in order of arrival. If `is_truncated`, only the first ones are included."""

    call: Row
    timeline: Sequence[Row]
    is_truncated: bool


class CallReader:
    """Reads the calls that a tenant may see. Every method raises `DatabaseAway` and `DatabaseError`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(self, tenant: Tenant, filters: Mapping[str, Any], after: Place | None, limit: int) -> Page:
        """Returns up to `limit` calls after a place, newest first.

        Filters: those of `keyset.conditions`, and `has_recording`.
        """
        column_filters = {name: value for name, value in filters.items() if name != "has_recording"}
        conditions = [*keyset.conditions(calls, tenant, column_filters)]
        if "has_recording" in filters:
            conditions.append(calls.c.recording_url.is_not(None) == filters["has_recording"])
        with tenancy.reading(self._pool, tenant) as connection:
            return keyset.read(connection, calls, conditions, after, limit)

    def find(self, tenant: Tenant, name: str) -> CallWithTimeline | None:
        """Returns the call with this id or CallSid, or None. If several clients have the CallSid, returns the newest.

        Looks for an id first: Exotel makes CallSids, and one may look like the id of another call.
        """
        with tenancy.reading(self._pool, tenant) as connection:
            for condition in _conditions(name):
                conditions = [*keyset.conditions(calls, tenant, {}), condition]
                if rows := keyset.read(connection, calls, conditions, None, 1).rows:
                    return _with_timeline(connection, rows[0])
        return None


def _conditions(name: str) -> Iterator[ColumnElement[bool]]:
    with suppress(ValueError):
        yield calls.c.id == UUID(name)
    yield calls.c.call_sid == name


def _with_timeline(connection: Connection, call: Row) -> CallWithTimeline:
    arrival_order = (deliveries.c.received_at, deliveries.c.digest)
    sizes = func.octet_length(cast(deliveries.c.payload, Text))
    bytes_before = func.coalesce(func.sum(sizes).over(order_by=arrival_order, rows=(None, -1)), 0)
    statement = (
        select(
            deliveries.c.route,
            deliveries.c.received_at,
            deliveries.c.repeats,
            case((bytes_before < MAX_TIMELINE_BYTES, deliveries.c.payload)).label("payload"),
        )
        .where(deliveries.c.client_id == call["client_id"], deliveries.c.call_id == call["id"])
        .order_by(*arrival_order)
        .limit(MAX_TIMELINE_DELIVERIES + 1)
    )
    rows = connection.execute(statement, execution_options={"name": "read_timeline"}).mappings().all()
    timeline = [dict(row) for row in rows[:MAX_TIMELINE_DELIVERIES] if row["payload"] is not None]
    return CallWithTimeline(call, timeline, is_truncated=len(timeline) < len(rows))
