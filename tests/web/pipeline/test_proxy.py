from ipaddress import ip_network

import pytest
from flask import Flask, request

from calyapp.web.pipeline import proxy

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
FORWARDED = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil"}


@pytest.fixture
def seen():
    """What a view reads of a request from a peer with these headers."""
    app = Flask("seen")
    proxy.install(app, TRUSTED)

    @app.get("/")
    def view():
        headers = sorted(name for name, _ in request.headers if name.startswith("X-"))
        return {"address": request.remote_addr, "scheme": request.scheme, "headers": headers}

    def ask(peer: str, headers: dict[str, str]) -> dict:
        return app.test_client().get("/", headers=headers, environ_base={"REMOTE_ADDR": peer}).json

    return ask


@pytest.mark.parametrize(
    ("peer", "removed"),
    [("203.0.113.9", {"x-forwarded-host": "evil.example", "forwarded": "for=x"}), ("10.1.2.3", None)],
)
def test_headers_removed_for_an_untrusted_peer_are_available(peer, removed):
    app = Flask("removing")
    proxy.install(app, TRUSTED)
    seen = []
    app.before_request(lambda: seen.append(proxy.removed_headers()))

    headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "for=x"}
    app.test_client().get("/", headers=headers, environ_base={"REMOTE_ADDR": peer})

    assert seen == [removed]


@pytest.mark.parametrize("peer", ["10.1.2.3", "::1"])
def test_headers_of_a_trusted_proxy_are_applied(seen, peer):
    answer = seen(peer, FORWARDED)

    assert (answer["address"], answer["scheme"]) == ("203.0.113.9", "https")


def test_headers_of_a_peer_on_a_unix_socket_are_applied(seen):
    assert seen("", FORWARDED)["address"] == "203.0.113.9"


@pytest.mark.parametrize("peer", ["203.0.113.50", "11.0.0.1", "::2", "nonsense"])
def test_headers_of_an_untrusted_peer_are_removed(seen, peer):
    headers = {**FORWARDED, "X-Forwarded-Prefix": "/x", "X-Request-ID": "1795330293874-abcdef123"}

    assert seen(peer, headers) == {"address": peer, "scheme": "http", "headers": []}


@pytest.mark.parametrize(
    ("client", "address"),
    [
        ("203.0.113.9:1234", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_is_read_in_every_form(seen, client, address):
    assert seen("10.1.2.3", {"X-Forwarded-For": client})["address"] == address


@pytest.mark.parametrize("client", ["unknown", "evil'", "203.0.113.9 x", "1.2.3"])
def test_an_invalid_address_does_not_become_the_proxys(seen, client):
    assert seen("10.1.2.3", {"X-Forwarded-For": client})["address"] == "unknown"


def test_a_proxy_without_forwarding_headers_is_the_client(seen):
    assert seen("10.1.2.3", {"X-Forwarded-For": ""})["address"] == "10.1.2.3"


@pytest.mark.parametrize("header", ["X-Forwarded-Proto", "X-Forwarded-Host", "Via"])
@pytest.mark.parametrize("peer", ["10.1.2.3", ""])
def test_a_proxy_that_forwards_without_an_address_is_not_the_client(seen, header, peer):
    assert seen(peer, {header: "https"})["address"] == "unknown"


def test_a_trusted_proxy_is_recognised_on_a_dual_stack_socket(seen):
    assert seen("::ffff:10.1.2.3", {"X-Forwarded-For": "203.0.113.9"})["address"] == "203.0.113.9"


def test_a_scheme_is_read_in_either_case(seen):
    assert seen("10.1.2.3", {"X-Forwarded-Proto": "HTTPS"})["scheme"] == "https"


@pytest.mark.parametrize("scheme", ["javascript", "", "HTTPS;", "https,gopher"])
def test_an_invalid_scheme_changes_nothing(seen, scheme):
    assert seen("10.1.2.3", {"X-Forwarded-Proto": scheme})["scheme"] == "http"
