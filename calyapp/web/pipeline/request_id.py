"""Every request has an id, in its answer, its log lines and its audit entries."""

import re
import secrets
import string

from flask import Flask, Response, g, request

from calyapp import clock, logs

HEADER = "X-Request-ID"
_FORM = re.compile(r"\d{13}-[a-z0-9]{9,64}")
_ALPHABET = string.ascii_lowercase + string.digits


def install(app: Flask) -> None:
    """First in the pipeline: whatever fails after it fails under an id."""
    app.before_request(_give)
    app.after_request(_show)
    app.teardown_request(lambda _error: logs.unbind())


def _give() -> None:
    # One from a stranger never comes this far: `proxy` removes it.
    inbound = request.headers.get(HEADER, "")
    g.request_id = inbound if _FORM.fullmatch(inbound) else mint()
    logs.bind(requestId=g.request_id)


def mint() -> str:
    """A fresh id: milliseconds, then random."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    return f"{clock.milliseconds(clock.now())}-{random}"


def _show(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    return response
