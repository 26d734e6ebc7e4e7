"""Streamed answers: a bounded number at a time, because each holds a thread, and never complete after an error."""

import errno
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID

from flask import Response

from calyapp.errors import DatabaseAway, RateLimitError

_log = logging.getLogger(__name__)


class Stream(Response):
    """A response whose body Werkzeug must not collect in memory to determine its length."""

    implicit_sequence_conversion = False


class Places:
    """Bounds concurrent answers in this process: `max_places` in total, and one for each owner.

    Others are refused with the message `busy` and a `Retry-After` of `retry_seconds`.
    """

    def __init__(self, max_places: int, busy: str, retry_seconds: int) -> None:
        self._max_places = max_places
        self._busy = busy
        self._retry_seconds = retry_seconds
        self._owners: set[UUID] = set()
        self._lock = threading.Lock()

    def take(self, owner: UUID) -> ExitStack:
        """Returns a place, which is free again when the stack is closed. Raises `RateLimitError` if none is free."""
        with self._lock:
            if owner in self._owners or len(self._owners) >= self._max_places:
                raise RateLimitError(self._busy, retry_after=self._retry_seconds)
            self._owners.add(owner)
        place = ExitStack()
        place.callback(self._owners.discard, owner)
        return place


def broken_by_errors(chunks: Iterator[bytes], what: str, request_id: str) -> Iterator[bytes]:
    """Yields the chunks. An error is logged and breaks the connection, so that the final chunk is never sent.

    After the status line is sent, this is the only way to report an error: an answer that simply ended would look
    complete.
    """
    fields = {"requestId": request_id}
    try:
        yield from chunks
    except GeneratorExit:
        _log.warning("%s: the client disconnected", what, extra={"fields": fields})
        raise
    except Exception as error:
        has_traceback = not isinstance(error, DatabaseAway)  # for a known state a traceback adds nothing
        _log.error("%s failed: %s", what, type(error).__name__, exc_info=has_traceback, extra={"fields": fields})
        # Gunicorn treats this as a lost connection. It would log any other exception a second time.
        raise ConnectionResetError(errno.ECONNRESET, "connection broken after an error") from None
