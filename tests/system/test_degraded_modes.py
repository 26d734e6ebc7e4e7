"""Tests that the table of docs/degraded-modes.md and the tests of degraded modes name each other completely."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "degraded-modes.md"


def test_every_row_of_the_table_names_a_test_and_every_test_has_a_row():
    rows = [line for line in TABLE.read_text().splitlines() if line.startswith("|")][2:]
    named = [re.fullmatch(r".*\| `(\w+)` \|", row) for row in rows]
    files = [HERE / "test_degraded_postgres.py", HERE / "test_degraded_host.py"]
    statements = [statement for file in files for statement in ast.parse(file.read_text()).body]
    tests = {one.name for one in statements if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")}

    assert [row for row, name in zip(rows, named, strict=True) if name is None] == []
    assert {name[1] for name in named if name} == tests
