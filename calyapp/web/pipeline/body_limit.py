"""How large a body may be: 1 MiB, whether it says its length or comes in chunks."""

from io import BytesIO

from flask import Flask, request
from werkzeug.exceptions import RequestEntityTooLarge

from calyapp.errors import ValidationError

MOST_BYTES = 1024 * 1024


def install(app: Flask) -> None:
    """Flask itself answers 413 by Content-Length; what comes in chunks is measured here."""
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MOST_BYTES
    app.before_request(_measure)


def _measure() -> None:
    declared = request.content_length
    if declared is not None and declared > MOST_BYTES:
        raise RequestEntityTooLarge
    if declared is None and request.environ.get("wsgi.input_terminated"):
        # Werkzeug would cut a chunked body at the limit and go on with the piece.
        body = _chunks()
        if len(body) > MOST_BYTES:
            raise RequestEntityTooLarge
        request.environ["wsgi.input"] = BytesIO(body)
        request.environ["CONTENT_LENGTH"] = str(len(body))


def _chunks() -> bytes:
    try:
        body: bytes = request.environ["wsgi.input"].read(MOST_BYTES + 1)
    except Exception:  # WSGI names none, and every server has its own: whatever it is, the chunks are to blame
        raise ValidationError("The body's chunks are broken or cut; send the request again.") from None
    return body
