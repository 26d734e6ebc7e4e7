"""Whom a request comes from: the one place where `X-Forwarded-*` is believed or not.

Works on the WSGI environment, before Flask or anything else can read a header.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from flask import Flask, request

_BELIEVED_FROM_A_PROXY = ("HTTP_X_REQUEST_ID", "HTTP_FORWARDED")
_FORWARDED = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_VIA")  # somebody else's request
_WITH_PORT = re.compile(r"^\[([0-9A-Fa-f:.]+)\](?::\d+)?$|^(\d+\.\d+\.\d+\.\d+):\d+$")
_REMOVED = "caly.removed_headers"
UNKNOWN = "unknown"
Networks = tuple[IPv4Network | IPv6Network, ...]


def install(app: Flask, trusted: Networks) -> None:
    """Wrap the application."""
    app.wsgi_app = _Proxy(app.wsgi_app, trusted)  # type: ignore[method-assign]  # Flask's documented way


class _Proxy:
    def __init__(self, application: Any, trusted: Networks) -> None:
        self._application = application
        self._trusted = trusted

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if is_within(environ.get("REMOTE_ADDR", ""), self._trusted):
            _believe(environ)
        else:
            environ[_REMOVED] = _forget(environ)
        return self._application(environ, start_response)


@lru_cache(4096)
def is_within(address: str, networks: Networks) -> bool:
    """Whether the address lies in one of the networks. A peer without an address is one on a unix socket: ours."""
    if not address:
        return True
    found = _parsed(address)
    return found is not None and any(found in network for network in networks)


def _believe(environ: dict[str, Any]) -> None:
    """Our proxy overwrites these headers, so the last value of each is its own."""
    forwarded = _last(environ.get("HTTP_X_FORWARDED_FOR", ""))
    if forwarded or any(name in environ for name in _FORWARDED):
        # A sender who is not named, or not readably, is not the proxy: that is trusted with the details of health.
        environ["REMOTE_ADDR"] = _address(forwarded) or UNKNOWN
    if (scheme := _last(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower()) in ("http", "https"):
        environ["wsgi.url_scheme"] = scheme


def _forget(environ: dict[str, Any]) -> dict[str, str]:
    """Take out what only a proxy may say. What it was, by the headers' names in small letters."""
    forgotten = [name for name in environ if name.startswith("HTTP_X_FORWARDED_") or name in _BELIEVED_FROM_A_PROXY]
    return {name.removeprefix("HTTP_").replace("_", "-").lower(): environ.pop(name) for name in forgotten}


def removed_headers() -> dict[str, str] | None:
    """What an untrusted peer said that only a proxy may say, to be suspected; None where the peer is trusted."""
    removed: dict[str, str] | None = request.environ.get(_REMOVED)
    return removed


def client_address() -> str | None:
    """Where the request comes from, in a form that PostgreSQL takes; None for a peer on a unix socket."""
    return _address(request.remote_addr or "")


def client_neighbourhood() -> str:
    """The client's address, but of IPv6 the /64, for that is what one subscriber has: 2⁶⁴ addresses to come from."""
    address = client_address() or ""
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


def _address(text: str) -> str | None:
    found = _parsed(text)
    return str(found) if found else None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, alone or with a port, and with or without brackets."""
    # The zone of a link-local address (`fe80::1%eth0`) means something on this machine only.
    bare = _WITH_PORT.sub(r"\1\2", text).partition("%")[0]
    try:
        found = ip_address(bare)
    except ValueError:
        return None
    # `::ffff:10.0.0.1` is what a dual-stack socket calls 10.0.0.1.
    return getattr(found, "ipv4_mapped", None) or found


def _last(values: str) -> str:
    return values.rpartition(",")[2].strip()
