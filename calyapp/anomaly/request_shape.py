"""What is suspicious about a request before any value is read: its size, and headers that ask for trust."""

from collections.abc import Iterator, Mapping

MAX_INSPECTED_BYTES = 65_536
"""Octets of a request that are looked at; one that has more is oversized."""

_REWRITING = (
    *("x-original-url", "x-rewrite-url", "x-original-uri", "x-override-url", "x-http-method-override"),
    *("x-http-method", "x-method-override", "x-http-destinationurl", "x-forwarded-path", "x-forwarded-uri"),
)
_NAMING_A_HOST = ("x-forwarded-host", "x-host", "x-forwarded-server", "x-http-host-override", "x-original-host")


def is_oversized(octets: int) -> bool:
    """Whether it has more than is looked at."""
    return octets > MAX_INSPECTED_BYTES


def suspicious_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Names of those by which an untrusted peer would have us take the request for another. Names in small letters."""
    for name in _REWRITING:
        if name in headers:
            yield name
    host = headers.get("host", "").lower()
    for name in _NAMING_A_HOST:
        if name in headers and headers[name].strip().lower() != host:
            yield name
