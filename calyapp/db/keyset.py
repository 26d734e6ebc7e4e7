"""Keyset pagination: the newest rows after a place, read from an index, so that every page costs the same.

The table needs the columns `created_at`, `id` and `client_id`. This module does not know how cursors encode a place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Table, literal, select, tuple_

from calyapp.db.tenancy import Tenant

Row = Mapping[str, Any]
"""A row of a table: a value for each column."""


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a row. The next page starts after it. New rows sort before all places, so no row repeats."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and the place of the last one if there are more."""

    rows: Sequence[Row]
    next: Place | None


def conditions(table: Table, tenant: Tenant, filters: Mapping[str, Any]) -> Iterator[ColumnElement[bool]]:
    """Yields the conditions for the tenant's rows with these column values, from `since` to before `until`.

    Row-level security alone would be correct but slow: only a condition in the statement can use an index.
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
    """Reads the first `limit` rows after the place that meet the conditions."""
    query = statement(table, conditions, after, limit + 1)
    fetched = connection.execute(query, execution_options={"name": f"read_page_of_{table.name}"}).mappings().all()
    rows = [dict(row) for row in fetched[:limit]]
    is_last = len(fetched) <= limit
    return Page(rows, None if is_last else Place(rows[-1]["created_at"], rows[-1]["id"]))


def statement(table: Table, conditions: Sequence[ColumnElement[bool]], after: Place | None, limit: int) -> Select[Any]:
    """Returns the statement that reads a page."""
    created_at, identifier = table.c.created_at, table.c.id
    newest = select(table).where(*conditions).order_by(created_at.desc(), identifier.desc()).limit(limit)
    if after is None:
        return newest
    place = tuple_(literal(after.created_at, created_at.type), literal(after.id, identifier.type))
    # The second condition is redundant, but only a condition on the single column excludes later partitions.
    return newest.where(tuple_(created_at, identifier) < place, created_at <= after.created_at)
