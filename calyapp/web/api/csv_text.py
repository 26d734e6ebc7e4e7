"""Records → lines of CSV (RFC 4180) that a spreadsheet shows and does not run. Knows nothing of what they are about."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

# With these a spreadsheet takes a cell for a formula, or for one behind blanks; the wide ones where people write East
# Asian scripts (OWASP, CSV Injection; ASVS 1.2.10).
FORMULA_SIGNS = tuple("=+-@\t\r\n\0＝＋－＠")


def lines(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """A line for each record, its cells in the order of the columns. Raises `ValueError` for one that is no column."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    for record in records:
        writer.writerow({name: _cell(value) for name, value in record.items()})
    return text.getvalue()


def header(columns: Sequence[str]) -> str:
    """The first line."""
    return lines(columns, [dict(zip(columns, columns, strict=True))])


def _cell(value: Any) -> str:
    """Texts as they are but for formulas, nothing for None, and JSON for the rest."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    # The quotation mark in front makes it a text; spreadsheets do not show it.
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text
