"""Whom a request comes from: the one place where `X-Forwarded-*` is believed or not.

Works on the WSGI environment, before Flask or anything else can read a header.
"""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from flask import Flask, request

_BELIEVED_FROM_A_PROXY = ("HTTP_X_REQUEST_ID", "HTTP_FORWARDED")
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
            _forget(environ)
        return self._application(environ, start_response)


@lru_cache(4096)
def is_within(address: str, networks: Networks) -> bool:
    """Whether the address lies in one of the networks. A peer without an address is one on a unix socket: ours."""
    if not address:
        return True
    try:
        return any(ip_address(address) in network for network in networks)
    except ValueError:
        return False


def _believe(environ: dict[str, Any]) -> None:
    """Our proxy overwrites these headers, so the last value of each is its own."""
    if client := _address(_last(environ.get("HTTP_X_FORWARDED_FOR", ""))):
        environ["REMOTE_ADDR"] = client
    if (scheme := _last(environ.get("HTTP_X_FORWARDED_PROTO", ""))) in ("http", "https"):
        environ["wsgi.url_scheme"] = scheme


def _forget(environ: dict[str, Any]) -> None:
    for name in [name for name in environ if name.startswith("HTTP_X_FORWARDED_")]:
        del environ[name]
    for name in _BELIEVED_FROM_A_PROXY:
        environ.pop(name, None)


def client_address() -> str | None:
    """Where the request comes from, in a form that PostgreSQL takes; None for a peer on a unix socket."""
    return _address(request.remote_addr or "")


def _address(text: str) -> str | None:
    # The zone of a link-local address (`fe80::1%eth0`) means something on this machine only.
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _last(values: str) -> str:
    return values.rpartition(",")[2].strip()
