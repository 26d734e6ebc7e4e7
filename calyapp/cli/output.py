"""The output of commands: a table for people, or JSON for scripts."""

from collections.abc import Iterable, Mapping
from typing import Any

import click
import orjson

from calyapp.web.schemas.sanitizers import CONTROL_CHARACTERS


def print_record(record: Mapping[str, Any], as_json: bool) -> None:
    """Prints one record, a line for each field."""
    if as_json:
        click.echo(orjson.dumps(record))
        return
    width = max(map(len, record))
    for name, value in record.items():
        click.echo(f"{name:<{width}}  {_cell(value)}")


def print_rows(rows: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    """Prints several records of the same kind, a line for each."""
    records = list(rows)
    if as_json:
        click.echo(orjson.dumps(records))
    elif not records:
        click.echo("None.")
    else:
        _print_table([list(records[0]), *([_cell(value) for value in row.values()] for row in records)])


def _print_table(lines: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """Returns the text with control characters escaped, because text from outside must not control the terminal."""
    return CONTROL_CHARACTERS.sub(lambda match: ascii(match[0])[1:-1], text)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value)) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{printable(str(name))}={_cell(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else printable(str(value))
