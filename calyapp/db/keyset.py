"""Pages by key: the newest rows after a place, found by the index, so that the last page costs what the first does.

The table needs `created_at`, `id` and `client_id`. Knows nothing of how a place is told to the outside.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Table, literal, select, tuple_

from calyapp.db.tenancy import Tenant

Row = Mapping[str, Any]
"""A value for every column."""


@dataclass(frozen=True, slots=True)
class Place:
    """That of a row: the next page begins after it. New rows come before all places, so nothing is seen twice."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, the newest first, and the place of the last of them, if there are more."""

    rows: Sequence[Row]
    next: Place | None


def conditions(table: Table, tenant: Tenant, filters: Mapping[str, Any]) -> Iterator[ColumnElement[bool]]:
    """The tenant's rows whose columns have these values, created from `since` on and before `until`.

    Row-level security is no reason to leave the tenant out: only what a statement says is looked up in an index.
    """
    if isinstance(tenant, UUID):
        yield table.c.client_id == tenant
    for name, value in filters.items():
        if name == "since":
            yield table.c.created_at >= value
        elif name == "until":
            yield table.c.created_at < value
        else:
            yield table.c[name] == value


def read(
    connection: Connection, table: Table, conditions: Sequence[ColumnElement[bool]], after: Place | None, limit: int
) -> Page:
    """The first `limit` rows after the place that meet the conditions."""
    chosen = statement(table, conditions, after, limit + 1)
    found = connection.execute(chosen, execution_options={"name": f"read_page_of_{table.name}"}).mappings().all()
    rows = [dict(row) for row in found[:limit]]
    is_last = len(found) <= limit
    return Page(rows, None if is_last else Place(rows[-1]["created_at"], rows[-1]["id"]))


def statement(table: Table, conditions: Sequence[ColumnElement[bool]], after: Place | None, limit: int) -> Select[Any]:
    """The SQL of a page."""
    created_at, identifier = table.c.created_at, table.c.id
    newest = select(table).where(*conditions).order_by(created_at.desc(), identifier.desc()).limit(limit)
    if after is None:
        return newest
    place = tuple_(literal(after.created_at, created_at.type), literal(after.id, identifier.type))
    # Said twice, for only a condition on the one column leaves out the months after the place.
    return newest.where(tuple_(created_at, identifier) < place, created_at <= after.created_at)
