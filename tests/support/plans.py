"""What the server says of the way it takes to a page of records."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, text

from calyapp.db import keyset, tenancy
from calyapp.db.engine import Pool
from calyapp.db.keyset import Place
from calyapp.db.tenancy import Tenant

Plan = Mapping[str, Any]


def of_page(
    pool: Pool, table: Table, tenant: Tenant, filters: Mapping[str, Any], after: Place | None, limit: int
) -> Plan:
    """The plan of the page, carried out."""
    plan: Plan = explained(pool, table, tenant, filters, after, limit)["Plan"]
    return plan


def explained(
    pool: Pool, table: Table, tenant: Tenant, filters: Mapping[str, Any], after: Place | None, limit: int
) -> Mapping[str, Any]:
    """The plan of the page and, in milliseconds, what it took to make it and to carry it out."""
    statement = keyset.statement(table, [*keyset.conditions(table, tenant, filters)], after, limit)
    with tenancy.reading(pool, tenant) as connection:
        sql = statement.compile(connection, compile_kwargs={"literal_binds": True})
        answer = connection.scalar(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}".replace(":", r"\:")))
    one: Mapping[str, Any] = answer[0]
    return one


def rows_passed(plan: Plan) -> int:
    """The most rows that any step handed on or threw away; a bitmap's bits are no rows yet."""
    if plan["Node Type"] == "Bitmap Index Scan":
        return 0
    here: int = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return max([here, *(rows_passed(step) for step in plan.get("Plans", []))])


def tables_read(plan: Plan) -> set[str]:
    """Whether they had rows for it or not."""
    here = {plan["Relation Name"]} if "Relation Name" in plan else set()
    return here.union(*(tables_read(step) for step in plan.get("Plans", [])))
