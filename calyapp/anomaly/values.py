"""Yields the values of a request with their places. Skips plain values."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from calyapp.anomaly.plain import is_plain, is_plain_again

Values = tuple[tuple[str, str], ...]

# Never inspected: headers that browsers generate, and secrets, which must not be read here.
_UNREAD_HEADERS = frozenset(
    (
        *("authorization", "proxy-authorization", "content-length", "connection", "upgrade-insecure-requests"),
        *("accept-encoding", "sec-ch-ua", "sec-ch-ua-full-version-list", "sec-ch-ua-platform", "sec-ch-ua-mobile"),
    )
)
_BETWEEN_COOKIES = re.compile(r";\s?(?=[\w.-]{1,64}=)")
_PRODUCTS = re.compile(r"(?:[\w.-]{1,40}/[\w.]{1,40} |\([^()]{0,200}\) ){1,12}")
_NAME = re.compile(r"[\w.\[\]-]{1,64}")
_MAX_TAILS = 4
_MAX_MEMBERS = 256
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Inspected:
    """A decoded request. Header names are in lower case. `json` was parsed with `pairs` as its hook.

    `octets` is the size of the request in bytes. `is_trusted` says whether the peer may set forwarded headers.
    `needs_user_agent` is False for a sender that may omit the User-Agent.
    """

    path: str = ""
    query: Values = ()
    headers: dict[str, str] = field(default_factory=dict)
    form: Values = ()
    json: Any = None
    octets: int = 0
    is_trusted: bool = False
    needs_user_agent: bool = True


def notable(request: Inspected) -> Iterator[tuple[str, str]]:
    """Yields the place and text of values that are not plain. Places: `query.q`, `header.user-agent`, `json.a[2]`."""
    if not is_plain_again(request.path):
        yield from (("path", part) for part in _parts(request.path))
    for source, values in (("query", request.query), ("form", request.form)):
        for written, value in values:
            name = written.removeprefix("amp;")  # a URL copied from HTML, where & is written &amp;
            if not is_plain_again(name):
                yield _place(source, name), name
            if not is_plain(value):
                yield from _inside(_place(source, name), value)
    yield from _leaves("json", request.json)
    for name, value in request.headers.items():
        if name in _UNREAD_HEADERS or is_plain_again(value):
            continue
        for part in _pieces(name, value):
            if not is_plain(part):
                yield from _inside(_place("header", name), part)


def pairs(members: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """Returns the members of a JSON object, repeated names included: a hook for the parser."""
    return tuple(members)


def _place(above: str, name: str) -> str:
    """Replaces an unusual name by `*`, because it may itself be an attack."""
    return f"{above}.{name if _NAME.fullmatch(name) else '*'}"


def _parts(path: str) -> Iterator[str]:
    """Yields the path, and the rest after each of the first slashes, with and without the last segment."""
    yield path
    for _ in range(_MAX_TAILS):
        _, slash, path = path[1:].partition("/")
        if not slash:
            return
        yield path
        if before_last := path.rpartition("/")[0]:
            yield before_last


def _pieces(name: str, value: str) -> Iterator[str]:
    """Yields the values of a header: each cookie, and for a User-Agent also the text after its products."""
    if name == "cookie":
        yield from (cookie.partition("=")[2] or cookie for cookie in _BETWEEN_COOKIES.split(value))
        return
    yield value
    if name == "user-agent" and (products := _PRODUCTS.match(value)):
        yield value[products.end() :]


def _inside(place: str, value: str) -> Iterator[tuple[str, str]]:
    """Yields the value, or its members if it is JSON, and the parameters of a URL."""
    if value.startswith(("{", "[")):
        try:
            yield from _leaves(place, json.loads(value, object_pairs_hook=pairs))
        except (ValueError, RecursionError):
            yield place, value
        return
    yield place, value
    if "://" in value[:12] and "?" in value:
        yield from ((place, inner) for _, inner in parse_qsl(value.partition("?")[2]))


def _leaves(place: str, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if not is_plain(value):
            yield place, value
    elif depth < _MAX_DEPTH and isinstance(value, tuple):
        for name, member in value[:_MAX_MEMBERS]:
            if not is_plain_again(name):
                yield _place(place, name), name
            yield from _leaves(_place(place, name), member, depth + 1)
    elif depth < _MAX_DEPTH and isinstance(value, list):
        for index, item in enumerate(value[:_MAX_MEMBERS]):
            yield from _leaves(f"{place}[{index}]", item, depth + 1)
