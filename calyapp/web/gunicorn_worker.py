"""Gunicorn's threaded worker, but for what it answers and logs where a request cannot even be parsed.

Its own answer is HTML that echoes the request line, and its own log line holds it too: key, numbers and all.
"""

import logging
import socket
import struct
from contextlib import suppress
from typing import Any

import orjson
from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http import errors as unparsable  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from calyapp.web.error_shape import error_shape
from calyapp.web.pipeline import request_id
from calyapp.web.pipeline.security_headers import WITHOUT_FLASK
from calyapp.web.refusals import REFUSALS

_STATUS = {
    unparsable.LimitRequestLine: 414,
    unparsable.LimitRequestHeaders: 431,
    unparsable.ExpectationFailed: 417,
}
_SILENCE = struct.pack("ll", 10, 0)  # seconds and microseconds, as the kernel takes them
_OURS = (unparsable.InvalidResponseHeader, unparsable.InvalidResponseHeaderName)
_log = logging.getLogger(__name__)


class Worker(ThreadWorker):  # type: ignore[misc]  # Gunicorn is not annotated
    """As `gthread`, with one clean answer to what is no HTTP, and without patience for who says nothing."""

    def handle(self, conn: Any) -> Any:
        """One request. A thread is held for ten seconds at most by a client who says nothing, or takes nothing.

        Gunicorn would wait for ever.
        """
        for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, way, _SILENCE)
        return super().handle(conn)

    def handle_error(self, _req: Any, client: Any, _addr: Any, exc: BaseException) -> None:
        """Answer in our shape, and log what kind of error it was and nothing of the request."""
        is_theirs = isinstance(exc, unparsable.ParseException) and not isinstance(exc, _OURS)
        status = _STATUS.get(type(exc), 400) if is_theirs else 500
        given_id = request_id.mint()
        fields = {"requestId": given_id, "status": status, "error": type(exc).__name__}
        level = logging.WARNING if is_theirs else logging.CRITICAL
        _log.log(level, "refused what is no request", exc_info=None if is_theirs else exc, extra={"fields": fields})
        with suppress(OSError):  # nobody waits for the answer any more
            util.write_nonblock(client, _answer(status, given_id))

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except unparsable.ParseException:
            return False  # the rest of a body is broken whose request has its answer: a second one would be too much


def _answer(status: int, given_id: str) -> bytes:
    refusal = REFUSALS[status]
    sentence = refusal.sentence if status == 500 else f"The request cannot be read: {refusal.phrase}"
    body = orjson.dumps(error_shape(refusal.code, sentence, given_id))
    head = [
        f"HTTP/1.1 {status} {refusal.phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"{request_id.HEADER}: {given_id}",
        *(f"{name}: {value}" for name, value in WITHOUT_FLASK.items()),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
