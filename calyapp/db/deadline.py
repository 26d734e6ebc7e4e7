"""Time-outs on our side. A server that is frozen, or behind a network that swallows everything, keeps none of its own.

psycopg2 waits for the server through a callback, one for the whole process; this one gives up when the connection's
patience is over. The driver then closes the connection: nobody can tell what it was in the middle of.
"""

import select
import time

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_BEGIN, STATUS_PREPARED, STATUS_READY

_CONNECTED = (STATUS_READY, STATUS_BEGIN, STATUS_PREPARED)


class DeadlinePassed(psycopg2.OperationalError):
    """The server said nothing in time."""


class ConnectDeadlinePassed(DeadlinePassed):
    """The server said nothing in time when the connection was opened."""


class AnswerDeadlinePassed(DeadlinePassed):
    """The server said nothing in time after a statement was sent."""


class PatientConnection(psycopg2.extensions.connection):
    """A connection that waits so many seconds to be opened, and so many for each answer."""

    connect_seconds: float
    answer_seconds: float


def connection_class(connect_ms: int, answer_ms: int) -> type[PatientConnection]:
    """For psycopg2's `connection_factory`: a connection with this patience."""
    patience = {"connect_seconds": connect_ms / 1000, "answer_seconds": answer_ms / 1000}
    return type("Connection", (PatientConnection,), patience)


def _wait(connection: psycopg2.extensions.connection) -> None:
    """Until the driver has what it waits for. Raises `DeadlinePassed`."""
    ends_at = time.monotonic() + _patience(connection) if isinstance(connection, PatientConnection) else None
    while (state := connection.poll()) != POLL_OK:
        poller = select.poll()
        poller.register(connection, select.POLLIN if state == POLL_READ else select.POLLOUT)
        left = None if ends_at is None else max(0.0, ends_at - time.monotonic()) * 1000
        if not poller.poll(left):
            passed = AnswerDeadlinePassed if connection.status in _CONNECTED else ConnectDeadlinePassed
            raise passed("the server said nothing in time")


def _patience(connection: PatientConnection) -> float:
    return connection.answer_seconds if connection.status in _CONNECTED else connection.connect_seconds


psycopg2.extensions.set_wait_callback(_wait)
