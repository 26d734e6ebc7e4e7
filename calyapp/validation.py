"""What marshmallow finds wrong → our `ValidationError`: all of it at once, field by field, never a value.

Knows no schema and nothing of where the data came from.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import Schema
from marshmallow import ValidationError as Invalid
from marshmallow.exceptions import SCHEMA

from calyapp.errors import ValidationError

WHOLE = "The request"
"""What a sentence calls the input as a whole; in the details its name is empty."""

_MAX_NAME_LENGTH = 64
_MAX_NAMES = 50


def load(schema: Schema, data: object) -> dict[str, Any]:
    """What the schema makes of the data. Raises `ValidationError` naming every field that is missing or malformed.

    The details map a field to what is wrong with it, each beginning with a verb: `{"limit": ["must be …"]}`. A field
    within a field is `tags.0`. The message puts the names before the verbs, so that it reads as sentences.
    """
    try:
        loaded: dict[str, Any] = schema.load(data)  # type: ignore[arg-type]  # it says itself what is no mapping
    except Invalid as error:
        raise _refusal(error.messages_dict) from None
    return loaded


def _refusal(found: Mapping[Any, Any]) -> ValidationError:
    named: dict[str, list[str]] = {}
    for name, wrong in _each("", found):
        named.setdefault(name, []).append(wrong)
    # Strangers choose the names of unknown fields, and how many: they must not choose how much we log and answer.
    details = {name: named[name] for name in sorted(named)[:_MAX_NAMES]}
    sentences = [f"{name or WHOLE} {wrong}" for name, wrongs in details.items() for wrong in wrongs]
    return ValidationError(" ".join(sentences), details)


def _each(name: str, found: Any) -> Iterator[tuple[str, str]]:
    """The messages one by one, with the dotted name of what they are about."""
    if isinstance(found, str):
        yield name, found
    elif isinstance(found, Mapping):
        for key, inner in found.items():
            yield from _each(_dotted(name, key), inner)
    else:
        for inner in found:
            yield from _each(name, inner)


def _dotted(outer: str, key: object) -> str:
    if key == SCHEMA:
        return outer
    return f"{outer}.{_shown(str(key))}" if outer else _shown(str(key))


def _shown(name: str) -> str:
    """Short and printable: half a surrogate pair, which JSON can carry, could not even be sent back."""
    short = name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 1] + "…"
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in short)
