"""Turns marshmallow's errors into our `ValidationError`: all problems at once, by field, without values.

Knows no schema, and not where the data came from.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import Schema
from marshmallow import ValidationError as Invalid
from marshmallow.exceptions import SCHEMA

from calyapp.errors import ValidationError

WHOLE = "The request"
"""The name of the whole input in a message. In the details its name is empty."""

_MAX_NAME_LENGTH = 64
_MAX_NAMES = 50


def load(schema: Schema, data: object) -> dict[str, Any]:
    """Returns the data that the schema loads. Raises `ValidationError` that names every missing or malformed field.

    The details map a field to its problems, each starting with a verb: `{"limit": ["must be …"]}`. A nested field has a
    dotted name, such as `tags.0`. The message puts the names before the verbs, so that it reads as sentences.
    """
    try:
        loaded: dict[str, Any] = schema.load(data)  # type: ignore[arg-type]  # it says itself what is no mapping
    except Invalid as error:
        raise _refusal(error.messages_dict) from None
    return loaded


def _refusal(messages: Mapping[Any, Any]) -> ValidationError:
    named: dict[str, list[str]] = {}
    for name, wrong in _each("", messages):
        named.setdefault(name, []).append(wrong)
    # The sender chooses the names and the number of unknown fields. The limits bound what we log and answer.
    details = {name: named[name] for name in sorted(named)[:_MAX_NAMES]}
    sentences = [f"{name or WHOLE} {wrong}" for name, wrongs in details.items() for wrong in wrongs]
    return ValidationError(" ".join(sentences), details)


def _each(name: str, messages: Any) -> Iterator[tuple[str, str]]:
    """Yields the messages one by one, each with the dotted name of its field."""
    if isinstance(messages, str):
        yield name, messages
    elif isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from _each(_dotted(name, key), inner)
    else:
        for inner in messages:
            yield from _each(name, inner)


def _dotted(outer: str, key: object) -> str:
    if key == SCHEMA:
        return outer
    return f"{outer}.{_shown(str(key))}" if outer else _shown(str(key))


def _shown(name: str) -> str:
    """Returns a short printable name. JSON can carry a lone surrogate, which cannot be sent back."""
    short = name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 1] + "…"
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in short)
