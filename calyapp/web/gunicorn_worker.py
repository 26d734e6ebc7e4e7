"""Gunicorn's threaded worker, with its own answer and log line for requests that cannot be parsed.

Gunicorn's answer is HTML that echoes the request line, and its log line contains it too, with keys and numbers.
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

from calyapp.web.pipeline import request_id
from calyapp.web.pipeline.security_headers import WITHOUT_FLASK
from calyapp.web.refusals import REFUSALS, error_body

_STATUS = {
    unparsable.LimitRequestLine: 414,
    unparsable.LimitRequestHeaders: 431,
    unparsable.ExpectationFailed: 417,
}
_SOCKET_TIMEOUT = struct.pack("ll", 10, 0)  # the kernel's `struct timeval`: seconds and microseconds
_SERVER_ERRORS = (unparsable.InvalidResponseHeader, unparsable.InvalidResponseHeaderName)
_log = logging.getLogger(__name__)


class Worker(ThreadWorker):  # type: ignore[misc]  # Gunicorn is not annotated
    """Gunicorn's `gthread` worker with time-outs, and with a JSON answer to requests that cannot be parsed."""

    def handle(self, conn: Any) -> Any:
        """Handles one request. A client that sends or receives nothing for 10 seconds loses its thread.

        Gunicorn would wait without limit.
        """
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_TIMEOUT)
        return super().handle(conn)

    def handle_error(self, _req: Any, client: Any, _addr: Any, exc: BaseException) -> None:
        """Answers with an error body, and logs the type of the error but nothing of the request."""
        is_client_error = isinstance(exc, unparsable.ParseException) and not isinstance(exc, _SERVER_ERRORS)
        status = _STATUS.get(type(exc), 400) if is_client_error else 500
        new_id = request_id.mint()
        fields = {"requestId": new_id, "status": status, "error": type(exc).__name__}
        level = logging.WARNING if is_client_error else logging.CRITICAL
        exc_info = None if is_client_error else exc
        _log.log(level, "refused an invalid request", exc_info=exc_info, extra={"fields": fields})
        with suppress(OSError):  # the client may have closed the connection
            util.write_nonblock(client, _answer(status, new_id))

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except unparsable.ParseException:
            return False  # the rest of the body is invalid, but its request is answered: there must be no second answer


def _answer(status: int, new_id: str) -> bytes:
    refusal = REFUSALS[status]
    sentence = refusal.sentence if status == 500 else f"The request cannot be read: {refusal.phrase}"
    body = orjson.dumps(error_body(refusal.code, sentence, new_id))
    head = [
        f"HTTP/1.1 {status} {refusal.phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"{request_id.HEADER}: {new_id}",
        *(f"{name}: {value}" for name, value in WITHOUT_FLASK.items()),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
