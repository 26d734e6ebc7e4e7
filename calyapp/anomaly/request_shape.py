"""Suspicious properties of a request apart from its values: its size, and headers that rewrite it."""

from collections.abc import Iterator, Mapping

MAX_INSPECTED_BYTES = 65_536
"""The bytes of a request that are inspected. A larger request is oversized."""

_REWRITING = (
    *("x-original-url", "x-rewrite-url", "x-original-uri", "x-override-url", "x-http-method-override"),
    *("x-http-method", "x-method-override", "x-http-destinationurl", "x-forwarded-path", "x-forwarded-uri"),
)
_NAMING_A_HOST = ("x-forwarded-host", "x-host", "x-forwarded-server", "x-http-host-override", "x-original-host")


def is_oversized(octets: int) -> bool:
    """Returns whether the request has more bytes than are inspected."""
    return octets > MAX_INSPECTED_BYTES


def suspicious_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yields the names of headers that claim another path, method or host for the request. Names are in lower case."""
    for name in _REWRITING:
        if name in headers:
            yield name
    host = headers.get("host", "").lower()
    for name in _NAMING_A_HOST:
        if name in headers and headers[name].strip().lower() != host:
            yield name
