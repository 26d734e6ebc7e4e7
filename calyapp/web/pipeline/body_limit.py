"""How large a body may be: 1 MiB unless its route says otherwise, whether it says its length or comes in chunks."""

from tempfile import SpooledTemporaryFile

from flask import Flask, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from calyapp.errors import ValidationError
from calyapp.web.routing import GuardedRule

MAX_BYTES = 1024 * 1024
_PIECE = 64 * 1024


def install(app: Flask) -> None:
    """Flask itself answers 413 by Content-Length; what comes in chunks is measured here."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BYTES
    app.before_request(_measure)


def _measure() -> None:
    declared = request.content_length
    most = request.max_content_length = _max_bytes()
    if declared is not None and declared > most:
        raise RequestEntityTooLarge
    if declared is None and request.environ.get("wsgi.input_terminated"):
        # Werkzeug would cut a chunked body at the limit and go on with the piece.
        body = _chunks(most)
        if body.tell() > most:
            raise RequestEntityTooLarge
        request.environ["CONTENT_LENGTH"] = str(body.tell())
        request.environ["wsgi.input"] = body
        body.seek(0)


def _max_bytes() -> int:
    rule = request.url_rule
    return (rule.max_bytes if isinstance(rule, GuardedRule) else None) or MAX_BYTES


def _chunks(most: int) -> SpooledTemporaryFile[bytes]:
    """The body, as far as it may be and one byte more; in memory while it is no larger than most are."""
    body = SpooledTemporaryFile(MAX_BYTES + 1)  # noqa: SIM115 — closed with the request, by the next line
    g.scopes.callback(body.close)
    try:
        while piece := request.environ["wsgi.input"].read(min(_PIECE, most + 1 - body.tell())):
            body.write(piece)
    except Exception:  # WSGI names none, and every server has its own: whatever it is, the chunks are to blame
        raise ValidationError("The body's chunks are broken or cut; send the request again.") from None
    return body
