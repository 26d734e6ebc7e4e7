"""Writes records as CSV (RFC 4180) that a spreadsheet shows as text and does not run. Must not know their meaning."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

# A spreadsheet reads a cell that begins with one of these as a formula, or skips the blank and then does. The wide ones
# apply with East Asian input (OWASP, CSV Injection; ASVS 1.2.10).
FORMULA_SIGNS = tuple("=+-@\t\r\n\0＝＋－＠")


def lines(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """Returns one line for each record, in the order of the columns. Raises `ValueError` for an unknown column."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    for record in records:
        writer.writerow({name: _cell(value) for name, value in record.items()})
    return text.getvalue()


def header(columns: Sequence[str]) -> str:
    """Returns the header line."""
    return lines(columns, [dict(zip(columns, columns, strict=True))])


def _cell(value: Any) -> str:
    """Returns a text itself, an empty cell for None, and JSON for other values. Formulas are turned into text."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    # A leading apostrophe makes the cell a text. Spreadsheets do not show it.
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text
