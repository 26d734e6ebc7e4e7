"""Answers that come piece by piece: few at a time, for each holds a thread, and none looks whole that broke off."""

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
    """Whose body nobody may gather in memory, as Werkzeug does to tell its length."""

    implicit_sequence_conversion = False


class Places:
    """For so many answers at a time, in this process, and one for each who asks, so that nobody slow has them all.

    The next one hears `busy`, and to come again in so many seconds.
    """

    def __init__(self, most: int, busy: str, seconds: int) -> None:
        self._most = most
        self._busy = busy
        self._seconds = seconds
        self._taken: set[UUID] = set()
        self._lock = threading.Lock()

    def take(self, whose: UUID) -> ExitStack:
        """A place, free again once the stack is closed. Raises `RateLimitError` if there is none."""
        with self._lock:
            if whose in self._taken or len(self._taken) >= self._most:
                raise RateLimitError(self._busy, retry_after=self._seconds)
            self._taken.add(whose)
        place = ExitStack()
        place.callback(self._taken.discard, whose)
        return place


def broken_by_errors(pieces: Iterator[bytes], what: str, request_id: str) -> Iterator[bytes]:
    """The pieces. An error on the way is logged and breaks the connection, so that the last chunk never comes.

    With its head sent, there is no other way to tell: an answer that just ended would look whole.
    """
    fields = {"requestId": request_id}
    try:
        yield from pieces
    except GeneratorExit:
        _log.warning("%s: who asked for it went away", what, extra={"fields": fields})
        raise
    except Exception as error:
        told = not isinstance(error, DatabaseAway)  # that the database is away says all
        _log.error("%s broke off: %s", what, type(error).__name__, exc_info=told, extra={"fields": fields})
        # To Gunicorn that is a connection which ended; of any other error it would log what we just have.
        raise ConnectionResetError(errno.ECONNRESET, "broken off on purpose") from None
