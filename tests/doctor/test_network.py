import socket
import ssl
import threading
from contextlib import contextmanager, suppress

import pytest
from nginx_server import CERTIFICATE

from calyapp.doctor import network


@contextmanager
def tls_server(certificate=CERTIFICATE):
    """Shakes hands with one client; yields the port."""
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
    def test_tells_version_and_days_left(self, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

        with tls_server() as port:
            agreed = network.handshake("localhost", port, 5)

        assert agreed.version == "TLSv1.3"
        assert agreed.days_left > 365

    def test_with_a_certificate_that_nobody_signed_is_refused(self, monkeypatch):
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)

        with tls_server() as port, pytest.raises(OSError, match="certificate") as raised:
            network.handshake("localhost", port, 5)

        assert network.why(raised.value).startswith("the certificate is not good: self")

    def test_with_who_speaks_no_tls_is_told(self):
        def answer_in_clear(listening):
            plain, _ = listening.accept()
            with plain:
                plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                plain.recv(65536)

        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=answer_in_clear, args=(listening,))
            thread.start()
            with pytest.raises(ssl.SSLError) as raised:
                network.handshake("localhost", listening.getsockname()[1], 5)
            thread.join()

        assert network.why(raised.value) == "TLS 1.2 or newer cannot be agreed on"


class TestWhy:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (socket.gaierror(-2, "canary"), "the host name does not resolve"),
            (ConnectionRefusedError("canary"), "nothing listens there"),
            (TimeoutError("canary"), "no answer in time"),
            (ConnectionResetError("canary"), "the connection broke"),
        ],
    )
    def test_is_told_without_the_address(self, error, words):
        assert network.why(error) == words


def test_a_name_that_is_none_raises():
    with pytest.raises(socket.gaierror):
        network.seconds_to_resolve("caly.invalid")


def test_an_address_resolves_at_once():
    assert network.seconds_to_resolve("127.0.0.1") < 5
