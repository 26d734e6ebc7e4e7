"""Gives every request an id, which appears in its answer, log lines and audit entries."""

import re
import secrets
import string

from flask import Flask, Response, g, request

from calyapp import clock, logs

HEADER = "X-Request-ID"
_PATTERN = re.compile(r"\d{13}-[a-z0-9]{9,64}")
_ALPHABET = string.ascii_lowercase + string.digits


def install(app: Flask) -> None:
    """Installs the layer first, so that every failure after it has an id."""
    app.before_request(_assign)
    app.after_request(_add_header)
    app.teardown_request(lambda _error: logs.unbind())


def _assign() -> None:
    # `proxy` removes the header if the peer is not trusted.
    inbound = request.headers.get(HEADER, "")
    g.request_id = inbound if _PATTERN.fullmatch(inbound) else mint()
    logs.bind(requestId=g.request_id)


def mint() -> str:
    """Returns a new id: Unix time in milliseconds, and a random part."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    return f"{clock.milliseconds(clock.now())}-{random}"


def _add_header(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    return response
