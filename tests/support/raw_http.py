"""Sends and receives raw bytes, without a library that would correct or hide errors in them."""

import re
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass

_STATUS_LINE = re.compile(rb"HTTP/1\.\d (\d{3}) [^\r\n]*\Z")
_DROPS = 10
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def free_port() -> int:
    """Returns a port on loopback on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connect(port: int) -> socket.socket:
    """Connects to the server under test."""
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def send(link: socket.socket, raw: bytes, *, dripping: int = 0) -> None:
    """Sends all bytes, or as many as the server accepts: the last `dripping` ones in ten parts, over two seconds."""
    at_once = len(raw) - dripping
    step = max(1, -(-dripping // _DROPS))
    # A server that refuses a body may close the connection before its end.
    with suppress(OSError):
        link.sendall(raw[:at_once])
        for start in range(at_once, len(raw), step):
            time.sleep(_PAUSE_SECONDS)
            link.sendall(raw[start : start + step])


def finish(link: socket.socket) -> None:
    """Closes the sending side."""
    with suppress(OSError):
        link.shutdown(socket.SHUT_WR)


def reset(link: socket.socket) -> None:
    """Resets the connection, as a crash does."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def receive(link: socket.socket) -> bytes:
    """Returns all bytes that the server sends until it closes the connection."""
    return b"".join(iter(lambda: _received(link), b""))


def answers(stream: bytes, *, bodiless: bool = False) -> list[Answer]:
    """Returns the answers in the stream, without `100 Continue`. Raises `ValueError` for anything else in it."""
    found = []
    while stream:
        head, end, rest = stream.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        if not end or not (status := _STATUS_LINE.match(line)):
            raise ValueError(f"no answer begins with {stream[:60]!r}")
        headers = dict(_field(field) for field in fields)
        length = 0 if bodiless else int(headers.get("content-length", 0))
        if len(rest) < length:
            raise ValueError(f"{length - len(rest)} bytes are missing of {stream[:60]!r}")
        if int(status[1]) != 100:
            found.append(Answer(int(status[1]), headers, rest[:length]))
        stream = rest[length:]
    return found


def _received(link: socket.socket) -> bytes:
    try:
        return link.recv(65_536)
    except ConnectionResetError:
        return b""


def _field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.decode("latin-1").partition(":")
    if not colon:
        raise ValueError(f"no header field: {line!r}")
    return name.lower(), value.strip()
