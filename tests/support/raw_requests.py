"""Builds requests as bytes, each with the allowed answers.

`@CASESID@` stands for the case's own CallSid, of the same length; `@KEY@` for a webhook key, in URLs only.
"""

from dataclasses import dataclass
from enum import Enum, auto

MIB = 1024 * 1024

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"
PATH = b"/webhooks/exotel/passthru?key=@KEY@"
QUERY = PATH + b"&CallSid=@CASESID@"
FIELDS = b"CallSid=@CASESID@"
SMUGGLED = b"GET /webhooks/exotel/passthru?key=@KEY@&CallSid=SMUGGLED HTTP/1.1\r\nHost: caly\r\n\r\n"


class Ending(Enum):
    """What the client does after its last byte."""

    FINISHES = auto()  # closes its sending side, and reads
    WAITS = auto()  # reads until the server closes the connection
    RESETS = auto()  # resets the connection, and reads nothing


@dataclass(frozen=True, slots=True)
class Case:
    """The bytes to send, and the allowed statuses: one set for each answer.

    `deliveries` is the number of recorded deliveries; None means one per status 200. The last `dripping` bytes are
    sent slowly.
    """

    raw: bytes
    allowed: tuple[frozenset[int], ...]
    deliveries: int | None = None
    ending: Ending = Ending.FINISHES
    dripping: int = 0


def one(raw: bytes, *statuses: int, deliveries: int | None = None, ending: Ending = Ending.FINISHES) -> Case:
    """Returns a case with one answer, which has one of these statuses."""
    return Case(raw, (frozenset(statuses),), deliveries, ending)


def each(raw: bytes, *statuses: int, deliveries: int | None = None, dripping: int = 0) -> Case:
    """Returns a case with one answer for each status, in this order. Without statuses, no answer is allowed."""
    return Case(raw, tuple(frozenset({status}) for status in statuses), deliveries, dripping=dripping)


def reset(raw: bytes) -> Case:
    """Returns a case whose client resets the connection, so that no answer can be read."""
    return Case(raw, (), ending=Ending.RESETS)


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    """Returns the head, with CRLF after each line, and the body."""
    return b"\r\n".join([line, *headers, b"", b""]) + body


def get(target: bytes = QUERY, *headers: bytes, method: bytes = b"GET", host: bytes = b"Host: caly") -> bytes:
    """Returns a request without a body."""
    return request(method + b" " + target + b" HTTP/1.1", host, *headers)


def post(body: bytes = FIELDS, kind: bytes = FORM, *headers: bytes, length: object = None) -> bytes:
    """Returns a POST. `length` replaces the correct Content-Length."""
    declared = str(len(body) if length is None else length).encode("latin-1")
    return get(PATH, b"Content-Type: " + kind, b"Content-Length: " + declared, *headers, method=b"POST") + body


def unframed(*headers: bytes, body: bytes = FIELDS) -> bytes:
    """Returns a form whose length only these headers determine."""
    return get(PATH, b"Content-Type: " + FORM, *headers, method=b"POST") + body


def chunk(data: bytes) -> bytes:
    """Returns a valid chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked(wire: bytes, kind: bytes = FORM, *headers: bytes) -> bytes:
    """Returns a request with these bytes as its chunked body."""
    head = get(PATH, b"Content-Type: " + kind, b"Transfer-Encoding: chunked", *headers, method=b"POST")
    return head + wire


def as_json(text: bytes | str) -> bytes:
    """Returns a request with this text as its JSON body."""
    return post(text.encode() if isinstance(text, str) else text, JSON)


def field_of(value: str) -> bytes:
    """Returns a request with a JSON object: a CallSid, and a field with this literal value."""
    return as_json('{"CallSid": "@CASESID@", "x": ' + value + "}")


def part(name: bytes, text: bytes, *headers: bytes) -> bytes:
    """Returns one part of a multipart form, with its boundary."""
    return b"\r\n".join([b"--x", b'Content-Disposition: form-data; name="' + name + b'"', *headers, b"", text, b""])


def multipart(*parts: bytes, end: bytes = b"--x--\r\n", kind: bytes = b"multipart/form-data; boundary=x") -> bytes:
    """Returns a multipart request of these parts and this end."""
    return post(b"".join(parts) + end, kind)


SID_PART = part(b"CallSid", FIELDS.partition(b"=")[2])
ALL = chunk(FIELDS)
LAST = b"0\r\n\r\n"


def padded(size: int) -> bytes:
    """Returns a form of exactly this size, in bytes."""
    return (FIELDS + b"&pad=").ljust(size, b"x")
