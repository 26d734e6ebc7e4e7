"""Only Gunicorn creates such a worker, so the tests run one."""

import json
import socket

import pytest
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from calyapp.web.gunicorn_worker import Worker, _answer
from calyapp.web.pipeline.security_headers import WITHOUT_FLASK


@pytest.fixture
def refuse(caplog):
    """Returns status and JSON of the answer to a request that fails with this error."""

    def answer(error: Exception) -> tuple[int, dict]:
        ours, theirs = socket.socketpair()
        Worker.handle_error(object.__new__(Worker), None, theirs, None, error)
        theirs.close()
        head, _, body = ours.makefile("rb").read().partition(b"\r\n\r\n")
        ours.close()
        return int(head.split()[1]), json.loads(body)["error"]

    return answer


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidRequestLine("GET /?key=secret"), 400, "BAD_REQUEST"),
        (errors.InvalidHeader("X: secret"), 400, "BAD_REQUEST"),
        (errors.UnsupportedTransferCoding("secret"), 400, "BAD_REQUEST"),
        (errors.LimitRequestLine(9000, 8190), 414, "REQUEST_URI_TOO_LONG"),
        (errors.LimitRequestHeaders("secret"), 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
        (errors.ExpectationFailed("secret"), 417, "EXPECTATION_FAILED"),
        (errors.InvalidResponseHeader("ours"), 500, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_an_unreadable_request_is_refused_without_repeating_it(refuse, caplog, error, status, code):
    told = refuse(error)

    assert (told[0], told[1]["code"]) == (status, code)
    assert "secret" not in str(told) + caplog.text
    assert type(error).__name__ in str([record.fields for record in caplog.records])


def test_a_refusal_has_the_security_headers_of_every_answer(client):
    usual = client.get("/health/live", base_url="https://caly.example").headers

    head = _answer(400, "1795330293874-abcdef123").partition(b"\r\n\r\n")[0].decode()

    told = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    # HSTS is only for answers over HTTPS, which is unknown for a request that cannot be parsed.
    assert set(usual.keys()) - set(told) == {"Strict-Transport-Security"}
    assert {name: told[name] for name in WITHOUT_FLASK} == {name: usual[name] for name in WITHOUT_FLASK}


def test_a_disconnected_client_is_not_an_error():
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()

    Worker.handle_error(object.__new__(Worker), None, theirs, None, errors.InvalidHeader("x"))


def test_it_is_gunicorns_threaded_worker():
    assert issubclass(Worker, ThreadWorker)
