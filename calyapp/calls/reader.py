"""Calls and their deliveries, read for people and programs. Only what their tenant may see."""

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
"""Bytes of parameters, the last delivery's not counted: a client may send a thousand of a mebibyte each."""


@dataclass(frozen=True, slots=True)
class CallWithTimeline:
    """A call's row, and its deliveries as they came; the first ones, if all would be too many."""

    call: Row
    timeline: Sequence[Row]
    is_truncated: bool


class CallReader:
    """Reads what a tenant may see of calls."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(self, tenant: Tenant, filters: Mapping[str, Any], after: Place | None, limit: int) -> Page:
        """The newest calls after the place; filters as in `keyset.conditions`, and `has_recording`."""
        others = {name: value for name, value in filters.items() if name != "has_recording"}
        conditions = [*keyset.conditions(calls, tenant, others)]
        if "has_recording" in filters:
            conditions.append(calls.c.recording_url.is_not(None) == filters["has_recording"])
        with tenancy.reading(self._pool, tenant) as connection:
            return keyset.read(connection, calls, conditions, after, limit)

    def find(self, tenant: Tenant, name: str) -> CallWithTimeline | None:
        """The call of this id or CallSid, the newest if several clients have one; None if the tenant has none.

        An id comes first: CallSids are made elsewhere, and one may look like the id of another client's call.
        """
        with tenancy.reading(self._pool, tenant) as connection:
            for condition in _named(name):
                conditions = [*keyset.conditions(calls, tenant, {}), condition]
                if found := keyset.read(connection, calls, conditions, None, 1).rows:
                    return _with_timeline(connection, found[0])
        return None


def _named(name: str) -> Iterator[ColumnElement[bool]]:
    with suppress(ValueError):
        yield calls.c.id == UUID(name)
    yield calls.c.call_sid == name


def _with_timeline(connection: Connection, call: Row) -> CallWithTimeline:
    in_order = (deliveries.c.received_at, deliveries.c.digest)
    sizes = func.octet_length(cast(deliveries.c.payload, Text))
    before = func.coalesce(func.sum(sizes).over(order_by=in_order, rows=(None, -1)), 0)
    statement = (
        select(
            deliveries.c.route,
            deliveries.c.received_at,
            deliveries.c.repeats,
            case((before < MAX_TIMELINE_BYTES, deliveries.c.payload)).label("payload"),
        )
        .where(deliveries.c.client_id == call["client_id"], deliveries.c.call_id == call["id"])
        .order_by(*in_order)
        .limit(MAX_TIMELINE_DELIVERIES + 1)
    )
    found = connection.execute(statement, execution_options={"name": "read_timeline"}).mappings().all()
    timeline = [dict(row) for row in found[:MAX_TIMELINE_DELIVERIES] if row["payload"] is not None]
    return CallWithTimeline(call, timeline, is_truncated=len(timeline) < len(found))
