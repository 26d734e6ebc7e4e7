"""The SQL statements in pages about the audit log run, and these pages explain how to count occurrences."""

import re
from pathlib import Path

import pytest
from pages import pages

ROOT = Path(__file__).parents[2]
COUNT = "sum(coalesce((metadata->>'count')::int, 1))"


def pages_with_sql_on_the_trail():
    return [name for name in pages() if re.search(r"(FROM|from) audit_logs", (ROOT / name).read_text())]


def statements(page):
    blocks = re.findall(r"```sql\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [statement for block in blocks for statement in block.split(";\n") if "audit_logs" in statement]


def test_every_page_with_sql_on_the_audit_log_explains_how_to_count():
    pages = pages_with_sql_on_the_trail()

    assert {"docs/tutorial.md", "docs/audit-trail.md"} <= set(pages)
    assert [page for page in pages if COUNT not in (ROOT / page).read_text()] == []


@pytest.mark.parametrize("page", pages_with_sql_on_the_trail())
def test_every_statement_runs(page, query):
    query(
        "INSERT INTO audit_logs (id, created_at, event_type, severity, status, client_id, description, metadata) "
        "VALUES (gen_random_uuid(), now(), 'LOGIN_FAILURE', 'CRITICAL', 'failure', %s, 'Said', '{\"count\": 7}')",
        "00000000-0000-0000-0000-000000000000",
    )

    for statement in statements(page):
        (row,) = query(statement)
        assert 7 in row or {"count": 7} in row, statement
