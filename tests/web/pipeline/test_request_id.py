import re

import pytest

FORM = re.compile(r"^\d{13}-[a-z0-9]{9,}$")
GIVEN = "1795330293874-abcdef123"


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", "/webhooks/exotel/call-start"])
def test_every_answer_has_an_id(client, path):
    assert FORM.match(client.get(path).headers["X-Request-ID"])


def test_no_two_requests_share_an_id(client):
    ids = {client.get("/health/live").headers["X-Request-ID"] for _ in range(50)}

    assert len(ids) == 50


def test_an_id_from_a_trusted_proxy_is_kept(client):
    answer = client.get("/health/live", headers={"X-Request-ID": GIVEN}, environ_base={"REMOTE_ADDR": "127.0.0.1"})

    assert answer.headers["X-Request-ID"] == GIVEN


def test_an_id_from_an_untrusted_peer_is_replaced(client):
    answer = client.get("/health/live", headers={"X-Request-ID": GIVEN}, environ_base={"REMOTE_ADDR": "203.0.113.9"})

    assert answer.headers["X-Request-ID"] != GIVEN


@pytest.mark.parametrize("odd", ["", "x", "1795330293874-ABCDEF123", "1795330293874-abc", GIVEN + "\t", "a" * 500])
def test_an_id_of_another_form_is_replaced(client, odd):
    answer = client.get("/health/live", headers={"X-Request-ID": odd}, environ_base={"REMOTE_ADDR": "127.0.0.1"})

    assert FORM.match(answer.headers["X-Request-ID"])
    assert answer.headers["X-Request-ID"] != odd
