"""In production nothing is said in clear: who looks at a page is sent to https, and a machine is refused.

What is secure is decided by the scheme that `proxy` left in the environment; no header is asked here.
"""

from urllib.parse import quote

from flask import Flask, redirect, request
from werkzeug import Response

from calyapp.config import AppEnv, Settings
from calyapp.errors import AuthorizationError

_PROBES = "health"  # load balancers ask for it in clear, from within
_MACHINES = ("webhooks", "api")  # Exotel reads a redirect as a decision, and a key that came in clear must not go on
_READING = ("GET", "HEAD")  # of others, a browser would drop the body or turn it into a GET

# What stands in a URL as it is (RFC 3986); all else is quoted, so that no line break or space reaches a header.
_IN_PATH = "/:@!$&'()*+,;="
_IN_QUERY = _IN_PATH + "?%"


def install(app: Flask, settings: Settings) -> None:
    """After the access log, so that what is refused here is logged and measured too."""
    if settings.app_env is AppEnv.PRODUCTION:
        app.before_request(_demand_https)


def _demand_https() -> Response | None:
    area = request.path.split("/")[1].lower()
    if request.is_secure or area == _PROBES:
        return None
    host = _named_host()
    if area in _MACHINES or request.method not in _READING or not host:
        raise AuthorizationError("This address answers over HTTPS only: begin its URL with https://.")
    return redirect(_same_url(host), 301)


def _named_host() -> str:
    """The host that the client asked for; empty if it named none, or one of characters that no host has."""
    # Without the header, `host` would be the address that we listen on: nothing to tell strangers.
    return request.host if "Host" in request.headers else ""


def _same_url(host: str) -> str:
    # `path` begins with exactly one slash, whatever came: neither `//host` nor `.host` can become another host.
    url = f"https://{host}{quote(request.root_path + request.path, _IN_PATH)}"
    return f"{url}?{quote(request.query_string, _IN_QUERY)}" if request.query_string else url
