"""A port on loopback that behaves like a server until the end of the TLS handshake, and answers nothing after it."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

CERTIFICATE = Path(__file__).with_name("localhost.pem")


@contextmanager
def listening(answer: bytes | None = None, *, tls: bool = False) -> Iterator[int]:
    """Yields the port. It answers the first message with `answer`, if given; with `tls` it does a TLS handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def serve() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                Thread(target=answer_one, args=server.accept(), daemon=True).start()

    def answer_one(connection: socket.socket, _address: object) -> None:
        with connection, suppress(OSError):
            if answer is not None:
                connection.recv(8)
                connection.sendall(answer)
            if tls:
                context.wrap_socket(connection, server_side=True).recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
