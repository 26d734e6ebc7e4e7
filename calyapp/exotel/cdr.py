"""Reads Exotel's CDR export, a CSV with one call in each row: docs/exotel-protocol.md, section 10.6.

Each row becomes parameters, as if it were a delivery; `dialects` and `payload` interpret them. The whole file is
checked before any row is used. Both need memory for one row only. Columns are matched by name, in any order.
"""

import csv
import hashlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from calyapp import redact
from calyapp.calls.event import Pairs
from calyapp.errors import ValidationError

CALL_SID_COLUMN = "CallSid"
MAX_COLUMNS = 200
MAX_LINES = 200_000  # 10 MiB of calls have fewer; a file of empty lines would keep a worker busy
MAX_ROW_BYTES = 256 * 1024  # far above any call; PostgreSQL has 0.75 s to insert a row
MAX_COLUMN_NAME_LENGTH = 64  # every row is stored with its column names, so a long one would multiply the file
_MAX_REPORTED_ERRORS = 20
_UTF8 = "save it as “CSV UTF-8”."
# Part of the message of `csv.Error` → what the sender of the file reads.
_CSV_ERRORS = {
    "unexpected end": "opens a quotation mark that is never closed.",
    "expected after": "continues after a closing quotation mark; write a quotation mark inside a cell twice.",
    "field limit": f"has a cell of more than {csv.field_size_limit()} characters; is a closing quotation mark missing?",
    "new-line": "has an unknown line break; end lines with CR LF or LF.",
}

FileErrors = dict[str, list[str]]
"""What is wrong, by place: `line 7`, `header` or `file`."""


@dataclass(frozen=True, slots=True)
class CdrRow:
    """One call: the number of the line where its row begins (the header is line 1), and its cells by column name."""

    line: int
    parameters: Pairs


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file without errors: its number of rows, its size in bytes, and its SHA-256 in hexadecimal."""

    rows: int
    size: int
    digest: str


def check(file: BinaryIO) -> CheckedFile:
    """Checks the whole file. Raises `ValidationError` with the first 20 errors, each with its line."""
    file.seek(0)
    size, digest = 0, hashlib.sha256()
    while chunk := file.read(1 << 16):
        size += len(chunk)
        digest.update(chunk)
    errors: FileErrors = {}
    count = 0
    for line, cells in _records(file):
        if count == 0:
            columns = [cell.strip() for cell in cells]
            errors |= _header_errors(columns)
        elif len(cells) > len(columns):
            errors[f"line {line}"] = [f"has {len(cells)} cells, but the header has {len(columns)}."]
        count += 1
        if len(errors) >= _MAX_REPORTED_ERRORS:
            break
    if count == 0:
        raise _refusal({"file": ["is empty: its first line must name the columns."]})
    if errors:
        raise _refusal(errors)
    return CheckedFile(count - 1, size, digest.hexdigest())


def rows(file: BinaryIO) -> Iterator[CdrRow]:
    """Yields the calls of a checked file. Cells missing at the end of a row are left out. Webhook keys are masked."""
    records = _records(file)
    columns = [redact.webhook_keys(cell.strip()) for cell in next(records)[1]]
    for line, cells in records:
        # Not strict: spreadsheets leave out empty cells at the end of a row.
        yield CdrRow(line, [(name, redact.webhook_keys(cell)) for name, cell in zip(columns, cells, strict=False)])


def _header_errors(columns: list[str]) -> FileErrors:
    errors = []
    if CALL_SID_COLUMN not in columns:
        errors.append(f"has no column {CALL_SID_COLUMN}.")
    errors += [
        f"names the column {_quoted(name)} more than once." for name, n in Counter(columns).items() if name and n > 1
    ]
    if "" in columns:
        errors.append("has a column without a name.")
    if any(len(name) > MAX_COLUMN_NAME_LENGTH or not name.isprintable() for name in columns):
        errors.append(
            f"has a column name longer than {MAX_COLUMN_NAME_LENGTH} characters, or one that cannot be printed."
        )
    if len(columns) > MAX_COLUMNS:
        errors.append(f"has more than {MAX_COLUMNS} columns.")
    return {"header": errors[:_MAX_REPORTED_ERRORS]} if errors else {}


def _quoted(name: str) -> str:
    return repr(name[:MAX_COLUMN_NAME_LENGTH])


def _records(file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """Yields each record that is not empty, with the line where it begins. Raises `ValidationError`."""
    lines = _Lines(file)
    reader = csv.reader(lines, strict=True)
    while True:
        line = lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            explanations = [explanation for part, explanation in _CSV_ERRORS.items() if part in str(error)]
            raise _refusal({f"line {line}": explanations or ["is not valid CSV."]}) from None
        if any(cells):
            yield line, cells


class _Lines:
    """Yields the file's lines as text, and bounds lines and rows.

    The CSV reader joins lines into one row while a quotation mark is open. Without the bound on a row, a missing
    closing mark would read the rest of the file into memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        self._file = file
        self._number = 0
        self._row_begin = 1
        self._row_bytes = 0

    def begin_row(self) -> int:
        """Starts a new row with the next line, and returns that line's number."""
        self._row_begin, self._row_bytes = self._number + 1, 0
        return self._row_begin

    def __iter__(self) -> Iterator[str]:
        for raw in self._file:
            self._number += 1
            self._row_bytes += len(raw)
            self._check_bounds()
            yield self._text(raw)

    def _check_bounds(self) -> None:
        if self._number > MAX_LINES:
            raise _refusal({f"line {self._number}": [f"is above the limit of {MAX_LINES} lines: split the file."]})
        if self._row_bytes > MAX_ROW_BYTES:
            explanation = f"begins a row of more than {MAX_ROW_BYTES // 1024} KiB; is a closing quotation mark missing?"
            raise _refusal({f"line {self._row_begin}": [explanation]})

    def _text(self, raw: bytes) -> str:
        if self._number == 1:
            if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
                raise _refusal({"line 1": [f"is UTF-16; {_UTF8}"]})
            raw = raw.removeprefix(BOM_UTF8)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise _refusal({f"line {self._number}": [f"is not UTF-8; {_UTF8}"]}) from None


def _refusal(errors: FileErrors) -> ValidationError:
    sentences = [f"{place.capitalize()} {text}" for place, texts in errors.items() for text in texts]
    return ValidationError(f"Nothing was imported. {' '.join(sentences)}", errors)
