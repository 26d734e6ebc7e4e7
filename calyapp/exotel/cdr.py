"""Exotel's CDR export: a CSV of calls, a row each → parameters, as if each row were a delivery (protocol section 10).

Checked whole before any of it is used, in the memory of one row. Columns are known by their names, in any order; what
they mean is for `dialects` and `payload`.
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

IDENTITY = "CallSid"
MAX_COLUMNS = 200
MAX_LINES = 200_000  # in 10 MiB so many are no calls, but a way to keep a worker busy
MAX_ROW_BYTES = 256 * 1024  # bytes; no call has so many, and PostgreSQL has three quarters of a second for a row
MAX_COLUMN_NAME_LENGTH = 64  # characters; a row keeps the names of its cells, so a long one would multiply the file
_MAX_REPORTED_ERRORS = 20
_UTF8 = "save it as “CSV UTF-8”."
# What Python's reader says of a broken record, and what that means to who sent it.
_BROKEN = {
    "unexpected end": "opens a quotation mark that is never closed.",
    "expected after": "goes on behind a closing quotation mark; one inside a cell must stand twice.",
    "field limit": f"has a cell of more than {csv.field_size_limit()} characters; a quotation mark may be left open.",
    "new-line": "has a line break of an unknown kind; end lines with CR LF or LF.",
}

FileErrors = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class CdrRow:
    """A call: the number of its line in the file, the header's being 1, and its cells with their columns' names."""

    line: int
    parameters: Pairs


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file that can be read to its end: how many rows it has, its size in bytes and its SHA-256 in hexadecimal."""

    rows: int
    size: int
    digest: str


def check(file: BinaryIO) -> CheckedFile:
    """Read all of it. Raises `ValidationError` naming what is wrong with it, line by line."""
    file.seek(0)
    size, content = 0, hashlib.sha256()
    while piece := file.read(1 << 16):
        size += len(piece)
        content.update(piece)
    wrong: FileErrors = {}
    count = 0
    for line, cells in _records(file):
        if count == 0:
            columns = [cell.strip() for cell in cells]
            wrong |= _header_errors(columns)
        elif len(cells) > len(columns):
            wrong[f"line {line}"] = [f"has {len(cells)} cells, and the header {len(columns)}."]
        count += 1
        if len(wrong) >= _MAX_REPORTED_ERRORS:
            break
    if count == 0:
        raise _refusal({"file": ["is empty: its first line must name the columns."]})
    if wrong:
        raise _refusal(wrong)
    return CheckedFile(count - 1, size, content.hexdigest())


def rows(file: BinaryIO) -> Iterator[CdrRow]:
    """The calls of a file that was checked. Cells that a row lacks at its end are none; a webhook key is masked."""
    records = _records(file)
    columns = [redact.webhook_keys(cell.strip()) for cell in next(records)[1]]
    for line, cells in records:
        # A row may end early: spreadsheets leave empty cells out.
        yield CdrRow(line, [(name, redact.webhook_keys(cell)) for name, cell in zip(columns, cells, strict=False)])


def _header_errors(columns: list[str]) -> FileErrors:
    wrongs = []
    if IDENTITY not in columns:
        wrongs.append(f"lacks the column {IDENTITY}.")
    wrongs += [
        f"names the column {_short(name)} more than once." for name, n in Counter(columns).items() if name and n > 1
    ]
    if "" in columns:
        wrongs.append("has a column without a name.")
    if any(len(name) > MAX_COLUMN_NAME_LENGTH or not name.isprintable() for name in columns):
        wrongs.append(
            f"has a column name longer than {MAX_COLUMN_NAME_LENGTH} characters, or one that cannot be printed."
        )
    if len(columns) > MAX_COLUMNS:
        wrongs.append(f"has more than {MAX_COLUMNS} columns.")
    return {"header": wrongs[:_MAX_REPORTED_ERRORS]} if wrongs else {}


def _short(name: str) -> str:
    return repr(name[:MAX_COLUMN_NAME_LENGTH])


def _records(file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """Every record with the line that it begins in; empty lines are none. Raises `ValidationError`."""
    lines = _Lines(file)
    reader = csv.reader(lines, strict=True)
    while True:
        line = lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            told = [sentence for words, sentence in _BROKEN.items() if words in str(error)]
            raise _refusal({f"line {line}": told or ["is no CSV."]}) from None
        if any(cells):
            yield line, cells


class _Lines:
    """The file's lines as texts. A row goes on over lines while a cell is open, and is read as a whole: not forever."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        self._file = file
        self._number = 0
        self._begin = 1
        self._size = 0

    def begin_row(self) -> int:
        """With the next line; its number."""
        self._begin, self._size = self._number + 1, 0
        return self._begin

    def __iter__(self) -> Iterator[str]:
        for raw in self._file:
            self._number += 1
            self._size += len(raw)
            self._demand_measure()
            yield self._text(raw)

    def _demand_measure(self) -> None:
        if self._number > MAX_LINES:
            raise _refusal({f"line {self._number}": ["is one too many: split the file."]})
        if self._size > MAX_ROW_BYTES:
            told = f"begins a row of more than {MAX_ROW_BYTES // 1024} KiB; a quotation mark may be left open."
            raise _refusal({f"line {self._begin}": [told]})

    def _text(self, raw: bytes) -> str:
        if self._number == 1:
            if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
                raise _refusal({"line 1": [f"is UTF-16; {_UTF8}"]})
            raw = raw.removeprefix(BOM_UTF8)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise _refusal({f"line {self._number}": [f"is not UTF-8; {_UTF8}"]}) from None


def _refusal(wrong: FileErrors) -> ValidationError:
    sentences = [f"{where.capitalize()} {what}" for where, whats in wrong.items() for what in whats]
    return ValidationError(f"Nothing was imported. {' '.join(sentences)}", wrong)
