"""A minimal HTTP/2 client (RFC 9113): requests one path and reads the status of the answer."""

import socket
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _SETTINGS = 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_STREAM = 1
# HPACK (RFC 7541): two indexed fields of the static table, then two names whose values are literals.
_GET, _HTTPS, _PATH, _AUTHORITY = b"\x82", b"\x87", b"\x04", b"\x01"
_STATUSES = {0x88: 200, 0x8C: 400, 0x8D: 404, 0x8E: 500}


def status_of(link: socket.socket, path: str) -> int:
    """Sends GET. Returns the status, which must have an entry in the static table of HPACK."""
    block = _GET + _HTTPS + _PATH + _text(path) + _AUTHORITY + _text("caly")
    request = _frame(_HEADERS, _END_STREAM | _END_HEADERS, _STREAM, block)
    link.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + request)
    with link.makefile("rb") as stream:
        while True:
            size, kind, _flags, number = struct.unpack(">3sBBI", stream.read(9))
            payload = stream.read(int.from_bytes(size))
            if (kind, number) == (_HEADERS, _STREAM):
                return _status(payload)


def _status(block: bytes) -> int:
    # Updates of the size of the dynamic table may come first.
    return _STATUSES[next(byte for byte in block if byte >> 5 != 1)]


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">3sBBI", len(payload).to_bytes(3), kind, flags, stream) + payload
