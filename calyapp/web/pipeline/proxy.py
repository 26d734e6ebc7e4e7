"""Determines the address of the client: the only place that decides whether `X-Forwarded-*` is trusted.

Changes the WSGI environment before Flask or any other code reads a header (docs/adr/0001-trust-is-decided-first.md).
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from flask import Flask, request

from calyapp.setting_kinds import Networks

_ALLOWED_FROM_PROXY = ("HTTP_X_REQUEST_ID", "HTTP_FORWARDED")  # besides `X-Forwarded-*`
_SIGNS_OF_FORWARDING = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_VIA")
_WITH_PORT = re.compile(r"^\[([0-9A-Fa-f:.]+)\](?::\d+)?$|^(\d+\.\d+\.\d+\.\d+):\d+$")
_REMOVED = "caly.removed_headers"
UNKNOWN = "unknown"
"""The peer's address where a trusted proxy forwards a request without a readable client address."""


def install(app: Flask, trusted: Networks) -> None:
    """Wraps the application as WSGI middleware. Forwarding headers are trusted if the peer is in `trusted`."""
    app.wsgi_app = _Proxy(app.wsgi_app, trusted)  # type: ignore[method-assign]  # Flask's documented way


class _Proxy:
    def __init__(self, application: Any, trusted: Networks) -> None:
        self._application = application
        self._trusted = trusted

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if is_within(environ.get("REMOTE_ADDR", ""), self._trusted):
            _apply_forwarded(environ)
        else:
            environ[_REMOVED] = _remove_forwarded(environ)
        return self._application(environ, start_response)


@lru_cache(4096)
def is_within(address: str, networks: Networks) -> bool:
    """Returns whether the address is in one of the networks. An empty address is a peer on a unix socket: trusted."""
    if not address:
        return True
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _apply_forwarded(environ: dict[str, Any]) -> None:
    """Replaces address and scheme. A trusted proxy overwrites these headers, so the last value of each is its own."""
    forwarded = _last(environ.get("HTTP_X_FORWARDED_FOR", ""))
    if forwarded or any(name in environ for name in _SIGNS_OF_FORWARDING):
        # Without a readable client address the request must not count as the proxy's own, because the proxy's
        # network may be one that may read health details.
        environ["REMOTE_ADDR"] = _address(forwarded) or UNKNOWN
    if (scheme := _last(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower()) in ("http", "https"):
        environ["wsgi.url_scheme"] = scheme


def _remove_forwarded(environ: dict[str, Any]) -> dict[str, str]:
    """Removes the headers that only a proxy may set. Returns them by lower-case name."""
    names = [name for name in environ if name.startswith("HTTP_X_FORWARDED_") or name in _ALLOWED_FROM_PROXY]
    return {name.removeprefix("HTTP_").replace("_", "-").lower(): environ.pop(name) for name in names}


def removed_headers() -> dict[str, str] | None:
    """Returns the headers that were removed because the peer is not trusted; None if it is trusted."""
    removed: dict[str, str] | None = request.environ.get(_REMOVED)
    return removed


def client_address() -> str | None:
    """Returns the client's address in a form that PostgreSQL accepts; None for a peer on a unix socket."""
    return _address(request.remote_addr or "")


def client_neighbourhood() -> str:
    """Returns the client's IPv4 address, or its IPv6 network (/64), because one subscriber owns all addresses of it."""
    address = client_address() or ""
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


def _address(text: str) -> str | None:
    parsed = _parse(text)
    return str(parsed) if parsed else None


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Returns the address of a text that may also have a port and brackets; None if it is not an address."""
    # The zone of a link-local address (`fe80::1%eth0`) has a meaning only on this machine.
    bare = _WITH_PORT.sub(r"\1\2", text).partition("%")[0]
    try:
        parsed = ip_address(bare)
    except ValueError:
        return None
    # A dual-stack socket reports 10.0.0.1 as `::ffff:10.0.0.1`.
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _last(values: str) -> str:
    return values.rpartition(",")[2].strip()
