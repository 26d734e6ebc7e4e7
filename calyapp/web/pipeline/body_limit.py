"""Limits the size of bodies: 1 MiB unless the route sets `max_bytes`, with `Content-Length` or in chunks."""

from tempfile import SpooledTemporaryFile

from flask import Flask, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from calyapp.errors import ValidationError
from calyapp.web.routing import GuardedRule

MAX_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024


def install(app: Flask) -> None:
    """Installs the layer. Flask checks `Content-Length` by itself; this layer also measures chunked bodies."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BYTES
    app.before_request(_measure)


def _measure() -> None:
    declared = request.content_length
    max_bytes = request.max_content_length = _max_bytes()
    if declared is not None and declared > max_bytes:
        raise RequestEntityTooLarge
    if declared is None and request.environ.get("wsgi.input_terminated"):
        # Werkzeug would cut a chunked body at the limit and continue with the part that it read.
        body = _read_chunks(max_bytes)
        if body.tell() > max_bytes:
            raise RequestEntityTooLarge
        request.environ["CONTENT_LENGTH"] = str(body.tell())
        request.environ["wsgi.input"] = body
        body.seek(0)


def _max_bytes() -> int:
    rule = request.url_rule
    return (rule.max_bytes if isinstance(rule, GuardedRule) else None) or MAX_BYTES


def _read_chunks(max_bytes: int) -> SpooledTemporaryFile[bytes]:
    """Returns the body, up to one byte over the limit. It moves from memory to disk above 1 MiB."""
    body = SpooledTemporaryFile(MAX_BYTES + 1)  # noqa: SIM115 — the next line closes it with the request
    g.scopes.callback(body.close)
    try:
        while piece := request.environ["wsgi.input"].read(min(_READ_BYTES, max_bytes + 1 - body.tell())):
            body.write(piece)
    except Exception:  # WSGI specifies no exception: each server raises its own for broken chunks
        raise ValidationError("The chunked body is invalid or incomplete. Send the request again.") from None
    return body
