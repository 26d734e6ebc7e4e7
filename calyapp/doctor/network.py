"""How far a host is away: its name, a connection, its certificate. Knows no protocol above TLS."""

import socket
import ssl
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Handshake:
    """TLS as agreed on, with a certificate that was found good."""

    version: str
    days_left: float


def seconds_to_resolve(host: str) -> float:
    """How long the name server takes. Raises OSError for a name that is none."""
    started = time.perf_counter()
    socket.getaddrinfo(host, None)
    return time.perf_counter() - started


def connect(host: str, port: int, seconds: float) -> socket.socket:
    """Raises OSError."""
    return socket.create_connection((host, port), seconds)


def handshake(host: str, port: int, seconds: float) -> Handshake:
    """Raises OSError; `ssl.SSLCertVerificationError` is one too."""
    context = ssl.create_default_context()  # TLS 1.2 at least; trusts SSL_CERT_FILE too
    with connect(host, port, seconds) as plain, context.wrap_socket(plain, server_hostname=host) as link:
        certificate = link.getpeercert() or {}
        ends_at = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        return Handshake(link.version() or "", (ends_at - time.time()) / 86_400)


def why(error: OSError) -> str:
    """In a few words, without the address: whoever asks knows it, and a key may stand in it."""
    if isinstance(error, socket.gaierror):
        return "the host name does not resolve"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not good: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "TLS 1.2 or newer cannot be agreed on"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return "no answer in time" if isinstance(error, TimeoutError) else "the connection broke"
