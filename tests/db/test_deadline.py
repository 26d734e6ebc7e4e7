"""Waiting for a peer that accepts connections and never answers."""

import socket
import threading

import psycopg2
import pytest
from sqlalchemy import make_url

from calyapp.db.deadline import DeadlinePassed, connection_class


@pytest.fixture
def silent():
    """The port of a listener that never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


@pytest.fixture
def address(database_url):
    return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)


def test_opening_a_connection_ends_at_its_deadline(silent):
    with pytest.raises(DeadlinePassed):
        psycopg2.connect(f"host=127.0.0.1 port={silent}", connection_factory=connection_class(50, 60_000))


def test_waiting_for_an_answer_ends_at_its_deadline_and_closes_the_connection(address):
    connection = psycopg2.connect(address, connection_factory=connection_class(60_000, 50))

    with pytest.raises(DeadlinePassed):
        connection.cursor().execute("SELECT pg_sleep(60)")

    assert connection.closed


def test_each_answer_has_the_whole_time(address):
    connection = psycopg2.connect(address, connection_factory=connection_class(60_000, 2_000))
    cursor = connection.cursor()

    for _ in range(3):
        cursor.execute("SELECT pg_sleep(0.8)")

    assert not connection.closed
    connection.close()


def test_a_connection_of_another_class_waits_without_a_deadline(address):
    connection = psycopg2.connect(address)
    cursor = connection.cursor()
    waiting = threading.Thread(target=lambda: cursor.execute("SELECT pg_sleep(0.5), 7"))

    waiting.start()
    waiting.join()

    assert cursor.fetchone()[1] == 7
    connection.close()
