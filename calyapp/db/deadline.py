"""Deadlines on our side, for a server that is frozen or unreachable and therefore enforces no time-out itself.

psycopg2 waits for the server in a callback, one for the whole process. The callback here gives up when the connection's
deadline passes. The driver then closes the connection, because its state is unknown.
"""

import select
import time

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_BEGIN, STATUS_PREPARED, STATUS_READY

_CONNECTED = (STATUS_READY, STATUS_BEGIN, STATUS_PREPARED)


class DeadlinePassed(psycopg2.OperationalError):
    """The server did not answer in time."""


class ConnectDeadlinePassed(DeadlinePassed):
    """The server did not answer in time while the connection was opened."""


class AnswerDeadlinePassed(DeadlinePassed):
    """The server did not answer a statement in time."""


class PatientConnection(psycopg2.extensions.connection):
    """A connection with deadlines, in seconds, for opening it and for each answer."""

    connect_seconds: float
    answer_seconds: float


def connection_class(connect_ms: int, answer_ms: int) -> type[PatientConnection]:
    """Returns a class with these deadlines, for psycopg2's `connection_factory`."""
    patience = {"connect_seconds": connect_ms / 1000, "answer_seconds": answer_ms / 1000}
    return type("Connection", (PatientConnection,), patience)


def _wait(connection: psycopg2.extensions.connection) -> None:
    """Waits until the driver has what it waits for. Raises `DeadlinePassed`."""
    ends_at = time.monotonic() + _patience(connection) if isinstance(connection, PatientConnection) else None
    while (state := connection.poll()) != POLL_OK:
        poller = select.poll()
        poller.register(connection, select.POLLIN if state == POLL_READ else select.POLLOUT)
        remaining = None if ends_at is None else max(0.0, ends_at - time.monotonic()) * 1000
        if not poller.poll(remaining):
            passed = AnswerDeadlinePassed if connection.status in _CONNECTED else ConnectDeadlinePassed
            raise passed("the server did not answer in time")


def _patience(connection: PatientConnection) -> float:
    return connection.answer_seconds if connection.status in _CONNECTED else connection.connect_seconds


psycopg2.extensions.set_wait_callback(_wait)
