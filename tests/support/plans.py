"""The plans of PostgreSQL for pages of records."""

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
    """Returns the executed plan of the page."""
    plan: Plan = explained(pool, table, tenant, filters, after, limit)["Plan"]
    return plan


def explained(
    pool: Pool, table: Table, tenant: Tenant, filters: Mapping[str, Any], after: Place | None, limit: int
) -> Mapping[str, Any]:
    """Returns the executed plan of the page, with the times of planning and execution in milliseconds."""
    statement = keyset.statement(table, [*keyset.conditions(table, tenant, filters)], after, limit)
    with tenancy.reading(pool, tenant) as connection:
        sql = statement.compile(connection, compile_kwargs={"literal_binds": True})
        answer = connection.scalar(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}".replace(":", r"\:")))
    one: Mapping[str, Any] = answer[0]
    return one


def rows_passed(plan: Plan) -> int:
    """Returns the largest number of rows that a step returned or filtered out. Bitmap index scans do not count."""
    if plan["Node Type"] == "Bitmap Index Scan":
        return 0
    here: int = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return max([here, *(rows_passed(step) for step in plan.get("Plans", []))])


def tables_read(plan: Plan) -> set[str]:
    """Returns the tables that the plan reads, including those that returned no rows."""
    here = {plan["Relation Name"]} if "Relation Name" in plan else set()
    return here.union(*(tables_read(step) for step in plan.get("Plans", [])))
