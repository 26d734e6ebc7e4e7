"""Calls and their deliveries, read for people and programs. Only what their tenant may see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, or_, select

from calyapp.db import keyset, tenancy
from calyapp.db.engine import Pool
from calyapp.db.keyset import Page, Place, Row
from calyapp.db.tables import calls, deliveries
from calyapp.db.tenancy import Tenant

LONGEST_TIMELINE = 1000


@dataclass(frozen=True, slots=True)
class CallWithTimeline:
    """A call's row, and its deliveries as they came."""

    call: Row
    timeline: Sequence[Row]


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
        """The call of this id or CallSid, the newest if several clients have one; None if the tenant has none."""
        conditions = [*keyset.conditions(calls, tenant, {}), _is_named(name)]
        with tenancy.reading(self._pool, tenant) as connection:
            found = keyset.read(connection, calls, conditions, None, 1).rows
            return CallWithTimeline(found[0], _timeline(connection, found[0])) if found else None


def _is_named(name: str) -> ColumnElement[bool]:
    try:
        return or_(calls.c.id == UUID(name), calls.c.call_sid == name)
    except ValueError:
        return calls.c.call_sid == name


def _timeline(connection: Connection, call: Row) -> Sequence[Row]:
    statement = (
        select(deliveries.c.route, deliveries.c.received_at, deliveries.c.repeats, deliveries.c.payload)
        .where(deliveries.c.client_id == call["client_id"], deliveries.c.call_id == call["id"])
        .order_by(deliveries.c.received_at)
        .limit(LONGEST_TIMELINE)
    )
    found = connection.execute(statement, execution_options={"name": "read_timeline"})
    return [dict(row) for row in found.mappings()]
