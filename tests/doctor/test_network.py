import socket
import ssl
import threading
from contextlib import contextmanager, suppress

import pytest
from nginx_server import CERTIFICATE

from calyapp.doctor import network


@contextmanager
def tls_server(certificate=CERTIFICATE):
    """Performs one handshake. Yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(listening):
        with suppress(OSError):
            plain, _ = listening.accept()
            with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as link:
                link.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


class TestHandshake:
    def test_returns_the_version_and_the_days_left(self, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

        with tls_server() as port:
            handshake = network.handshake("localhost", port, 5)

        assert handshake.version == "TLSv1.3"
        assert handshake.days_left > 365

    def test_refuses_a_self_signed_certificate(self, monkeypatch):
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)

        with tls_server() as port, pytest.raises(OSError, match="certificate") as raised:
            network.handshake("localhost", port, 5)

        assert network.describe(raised.value).startswith("the certificate is not valid: self")

    def test_fails_with_a_server_without_tls(self):
        def answer_without_tls(listening):
            plain, _ = listening.accept()
            with plain:
                plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                plain.recv(65536)

        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=answer_without_tls, args=(listening,))
            thread.start()
            with pytest.raises(ssl.SSLError) as raised:
                network.handshake("localhost", listening.getsockname()[1], 5)
            thread.join()

        assert network.describe(raised.value) == "the server does not support TLS 1.2 or newer"


class TestDescribe:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (socket.gaierror(-2, "canary"), "the host name does not resolve"),
            (ConnectionRefusedError("canary"), "nothing listens there"),
            (TimeoutError("canary"), "no answer in time"),
            (ConnectionResetError("canary"), "the connection broke"),
        ],
    )
    def test_omits_the_address(self, error, words):
        assert network.describe(error) == words


def test_an_unknown_name_raises():
    with pytest.raises(socket.gaierror):
        network.seconds_to_resolve("caly.invalid")


def test_an_address_resolves_at_once():
    assert network.seconds_to_resolve("127.0.0.1") < 5
