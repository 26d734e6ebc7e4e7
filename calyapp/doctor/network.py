"""Name resolution, connections and certificates of a host. Knows no protocol above TLS."""

import socket
import ssl
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Handshake:
    """The negotiated TLS version, and the remaining days of the certificate, which was verified."""

    version: str
    days_left: float


def seconds_to_resolve(host: str) -> float:
    """Returns how long the name takes to resolve. Raises `OSError` if it does not resolve."""
    started = time.perf_counter()
    socket.getaddrinfo(host, None)
    return time.perf_counter() - started


def connect(host: str, port: int, seconds: float) -> socket.socket:
    """Opens a TCP connection. Raises `OSError`."""
    return socket.create_connection((host, port), seconds)


def handshake(host: str, port: int, seconds: float) -> Handshake:
    """Performs a TLS handshake. Raises `OSError`, of which `ssl.SSLCertVerificationError` is a subclass."""
    context = ssl.create_default_context()  # TLS 1.2 or newer; also trusts SSL_CERT_FILE
    with connect(host, port, seconds) as plain, context.wrap_socket(plain, server_hostname=host) as link:
        certificate = link.getpeercert() or {}
        ends_at = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        return Handshake(link.version() or "", (ends_at - time.time()) / 86_400)


def describe(error: OSError) -> str:
    """Describes the error without the address, which may hold a key."""
    if isinstance(error, socket.gaierror):
        return "the host name does not resolve"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "the server does not support TLS 1.2 or newer"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return "no answer in time" if isinstance(error, TimeoutError) else "the connection broke"
