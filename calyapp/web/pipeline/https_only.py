"""Enforces HTTPS in production: redirects requests for pages, and refuses those of programs.

Trusts the scheme that `proxy` set in the WSGI environment, and reads no header.
"""

from urllib.parse import quote

from flask import Flask, redirect, request
from werkzeug import Response

from calyapp.config import AppEnv, Settings
from calyapp.errors import AuthorizationError

_HEALTH_AREA = "health"  # load balancers probe over plain HTTP from inside the network
# Exotel reads a redirect as a decision of the flow (docs/exotel-protocol.md, section 3.3). A program that sends its key
# in clear text must notice.
_PROGRAM_AREAS = ("webhooks", "api")
_REDIRECTED_METHODS = ("GET", "HEAD")  # after a redirect of others, browsers drop the body or send a GET

# Characters that a URL may contain unquoted (RFC 3986). All others are quoted, so that no line break reaches a header.
_IN_PATH = "/:@!$&'()*+,;="
_IN_QUERY = _IN_PATH + "?%"


def install(app: Flask, settings: Settings) -> None:
    """Installs the layer after the access log, so that refused requests are logged and counted."""
    if settings.app_env is AppEnv.PRODUCTION:
        app.before_request(_require_https)


def _require_https() -> Response | None:
    area = request.path.split("/")[1].lower()
    if request.is_secure or area == _HEALTH_AREA:
        return None
    host = _requested_host()
    if area in _PROGRAM_AREAS or request.method not in _REDIRECTED_METHODS or not host:
        raise AuthorizationError("This address requires HTTPS. Use a URL that begins with https://.")
    return redirect(_same_url(host), 301)


def _requested_host() -> str:
    """Returns the host of the `Host` header; empty if it is missing or contains invalid characters."""
    # Without the header, `request.host` is the address that the server listens on, which must not be disclosed.
    return request.host if "Host" in request.headers else ""


def _same_url(host: str) -> str:
    # `path` always begins with exactly one slash, so neither `//host` nor `.host` can change the host.
    url = f"https://{host}{quote(request.root_path + request.path, _IN_PATH)}"
    return f"{url}?{quote(request.query_string, _IN_QUERY)}" if request.query_string else url
