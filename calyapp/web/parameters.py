"""Reads a request's query and body into parameters: pairs of name and text, the same for every encoding.

Body fields come before query fields of the same name. JSON is flattened into the bracket names that forms use:
`{"Legs": [{"Status": "busy"}]}` and `Legs[0][Status]=busy` give the same parameters.
"""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from flask import Request

from calyapp import redact
from calyapp.errors import ValidationError

KEY = "key"
"""The query parameter with the webhook key. It identifies the client and is not part of the delivery."""

_NOT_JSON = "The body is not valid JSON."
_MAX_DEPTH = 64
_MAX_TEXT_LENGTH = 4 * 1024 * 1024  # characters of all names and texts; four times the largest body

_Object = list[tuple[str, Any]]


def read(request: Request) -> list[tuple[str, str]]:
    """Returns the request's parameters without the webhook key. Raises `ValidationError` for an invalid body."""
    query = [(name, text) for name, text in request.args.items(multi=True) if name != KEY]
    # Exotel repeats the URL of an earlier Passthru, with its key, in a parameter of later deliveries
    # (docs/exotel-protocol.md, section 5.1).
    return [(redact.webhook_keys(name), redact.webhook_keys(text)) for name, text in (*_body(request), *query)]


def json_value(request: Request) -> Any:
    """Returns the JSON value of the body. Raises `ValidationError` if it is invalid or not declared as JSON."""
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
        raise ValidationError("The connection ended before the whole body arrived. Send the request again.") from None
    if request.content_length and len(body) < request.content_length:
        raise ValidationError("The body is shorter than its Content-Length. Send the request again.")
    return body


def _body(request: Request) -> list[tuple[str, str]]:
    body = _whole_body(request)
    if not body.strip():
        return []
    if request.is_json:
        return _bounded(_flattened(None, _object(body)))
    # Werkzeug returns None as the name of a part without one.
    form = [(name or "", text) for name, text in request.form.items(multi=True)]
    if not form:
        raise ValidationError(
            "The body contains no field. Send JSON, application/x-www-form-urlencoded, or complete multipart/form-data "
            "with its boundary."
        )
    return form


def _bounded(pairs: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns all pairs. Raises `ValidationError` if they are too long: flattening repeats a long name for each item
    of a list, which can turn 1 MiB into gigabytes.
    """
    bounded, length = [], 0
    for pair in pairs:
        length += len(pair[0]) + len(pair[1])
        if length > _MAX_TEXT_LENGTH:
            raise ValidationError("The JSON body is too large: long names apply to too many values.")
        bounded.append(pair)
    return bounded


def _object(body: bytes) -> _Object:
    try:
        # Numbers keep their spelling, such as 1.50, because the ledger keeps what was sent.
        parsed = json.loads(
            body, parse_int=str, parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_Members
        )
    except (ValueError, RecursionError):
        raise ValidationError(_NOT_JSON) from None
    if not isinstance(parsed, _Members):
        raise ValidationError("The body must be a JSON object.")
    return parsed


class _Members(_Object):
    """The members of a JSON object in their order, with repeated names."""


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _flattened(prefix: str | None, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > _MAX_DEPTH:
        raise ValidationError(f"The JSON body is nested deeper than {_MAX_DEPTH} levels.")
    if isinstance(value, _Members):
        members: _Object = value
    elif isinstance(value, list):
        members = [(str(index), item) for index, item in enumerate(value)]
    else:
        yield prefix or "", _text(value)
        return
    if not members and prefix is not None:
        yield f"{prefix}[]", ""  # keeps an empty list or object visible
    for name, item in members:
        yield from _flattened(name if prefix is None else f"{prefix}[{name}]", item, depth + 1)


def _text(value: str | bool | None) -> str:
    """Returns the value as a form has it. null becomes an empty text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value).lower()
