"""A request's query and body → parameters: names and texts, the same whatever the encoding.

A body field counts before a query field of its name. JSON is flattened into the bracket names that forms use, so
`{"Legs": [{"Status": "busy"}]}` and `Legs[0][Status]=busy` are the same.
"""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from flask import Request

from calyapp import redact
from calyapp.errors import ValidationError

KEY = "key"
"""The query parameter that carries the webhook key: identity, not content."""

_NOT_JSON = "The body is not valid JSON."
_MAX_DEPTH = 64
_MAX_TEXT_SIZE = 4 * 1024 * 1024  # characters of names and texts; four times the largest body

_Object = list[tuple[str, Any]]


def read(request: Request) -> list[tuple[str, str]]:
    """The request's parameters without the webhook key. Raises `ValidationError` for a broken body."""
    query = [(name, text) for name, text in request.args.items(multi=True) if name != KEY]
    # Exotel echoes the address of an earlier Passthru, key and all, in a parameter of later deliveries.
    return [(redact.webhook_keys(name), redact.webhook_keys(text)) for name, text in (*_body(request), *query)]


def json_value(request: Request) -> Any:
    """The body, for routes that take JSON only. Raises `ValidationError` if it is broken or something else."""
    if not request.is_json:
        raise ValidationError("Send a JSON object, with Content-Type: application/json.")
    try:
        return json.loads(_whole_body(request))
    except (ValueError, RecursionError):
        raise ValidationError(_NOT_JSON) from None


def _whole_body(request: Request) -> bytes:
    try:
        body = request.get_data()
    except OSError:
        raise ValidationError("The connection broke before the whole body came; send the request again.") from None
    if request.content_length and len(body) < request.content_length:
        raise ValidationError("The body is shorter than its Content-Length says; send the request again.")
    return body


def _body(request: Request) -> list[tuple[str, str]]:
    body = _whole_body(request)
    if not body.strip():
        return []
    if request.is_json:
        return _bounded(_flattened(None, _object(body)))
    # Werkzeug gives a part without a name the name None.
    form = [(name or "", text) for name, text in request.form.items(multi=True)]
    if not form:
        raise ValidationError(
            "The body holds no field: send JSON, application/x-www-form-urlencoded or multipart/form-data "
            "with its boundary, and all of it."
        )
    return form


def _bounded(pairs: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    """All of them; a long name over a long list would multiply one mebibyte into gigabytes."""
    kept, size = [], 0
    for pair in pairs:
        size += len(pair[0]) + len(pair[1])
        if size > _MAX_TEXT_SIZE:
            raise ValidationError("The body's JSON repeats long names too often.")
        kept.append(pair)
    return kept


def _object(body: bytes) -> _Object:
    try:
        # Numbers stay as they were written: 1.50 is no less true than 1.5.
        parsed = json.loads(
            body, parse_int=str, parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_Members
        )
    except (ValueError, RecursionError):
        raise ValidationError(_NOT_JSON) from None
    if not isinstance(parsed, _Members):
        raise ValidationError("The body must be a JSON object.")
    return parsed


class _Members(_Object):
    """A JSON object as it was written: its members in order, repeated names included."""


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _flattened(prefix: str | None, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > _MAX_DEPTH:
        raise ValidationError(f"The body's JSON is nested deeper than {_MAX_DEPTH} levels.")
    if isinstance(value, _Members):
        members: _Object = value
    elif isinstance(value, list):
        members = [(str(index), item) for index, item in enumerate(value)]
    else:
        yield prefix or "", _text(value)
        return
    if not members and prefix is not None:
        yield f"{prefix}[]", ""  # present, and empty
    for name, item in members:
        yield from _flattened(name if prefix is None else f"{prefix}[{name}]", item, depth + 1)


def _text(value: str | bool | None) -> str:
    """As a form would carry it: null is an empty field."""
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value).lower()
