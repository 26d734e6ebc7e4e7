"""Bytes to a server and back, with nothing in between that would mend or hide what is wrong with them."""

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
    """One on loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connect(port: int) -> socket.socket:
    """To the server under test."""
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def send(link: socket.socket, raw: bytes, *, dripping: int = 0) -> None:
    """All of it, or as much as the server takes; the last so many bytes in ten pieces, over two seconds."""
    at_once = len(raw) - dripping
    step = max(1, -(-dripping // _DROPS))
    # A server that has refused a body need not read it to the end.
    with suppress(OSError):
        link.sendall(raw[:at_once])
        for start in range(at_once, len(raw), step):
            time.sleep(_PAUSE_SECONDS)
            link.sendall(raw[start : start + step])


def finish(link: socket.socket) -> None:
    """Say that nothing more will come."""
    with suppress(OSError):
        link.shutdown(socket.SHUT_WR)


def reset(link: socket.socket) -> None:
    """Break the connection as a crash would."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def receive(link: socket.socket) -> bytes:
    """Everything that the server says until it closes."""
    return b"".join(iter(lambda: _received(link), b""))


def answers(stream: bytes, *, bodiless: bool = False) -> list[Answer]:
    """The answers in it, without `100 Continue`. Raises `ValueError` where it holds anything else."""
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
