"""Requests as bytes, put together by hand, each with the answers that are allowed.

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

    FINISHES = auto()  # ends its side, and listens
    WAITS = auto()  # until the server ends its own
    RESETS = auto()  # and hears nothing any more


@dataclass(frozen=True, slots=True)
class Case:
    """What goes over the wire, and which statuses may come back, one set an answer.

    `deliveries`: how many then stand in the ledger; None for one per 200. So many bytes at the end come `dripping`.
    """

    raw: bytes
    allowed: tuple[frozenset[int], ...]
    deliveries: int | None = None
    ending: Ending = Ending.FINISHES
    dripping: int = 0


def one(raw: bytes, *statuses: int, deliveries: int | None = None, ending: Ending = Ending.FINISHES) -> Case:
    """One answer, of one of these statuses."""
    return Case(raw, (frozenset(statuses),), deliveries, ending)


def each(raw: bytes, *statuses: int, deliveries: int | None = None, dripping: int = 0) -> Case:
    """As many answers as statuses, in this order; none where nothing came that could be called a request."""
    return Case(raw, tuple(frozenset({status}) for status in statuses), deliveries, dripping=dripping)


def reset(raw: bytes) -> Case:
    """The connection breaks in the middle, so that nobody is there for an answer."""
    return Case(raw, (), ending=Ending.RESETS)


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    """The head as given, CRLF after each line, then the body."""
    return b"\r\n".join([line, *headers, b"", b""]) + body


def get(target: bytes = QUERY, *headers: bytes, method: bytes = b"GET", host: bytes = b"Host: caly") -> bytes:
    """A request without a body."""
    return request(method + b" " + target + b" HTTP/1.1", host, *headers)


def post(body: bytes = FIELDS, kind: bytes = FORM, *headers: bytes, length: object = None) -> bytes:
    """A body of the declared length, or of another."""
    declared = str(len(body) if length is None else length).encode("latin-1")
    return get(PATH, b"Content-Type: " + kind, b"Content-Length: " + declared, *headers, method=b"POST") + body


def unframed(*headers: bytes, body: bytes = FIELDS) -> bytes:
    """A form whose length these headers alone tell."""
    return get(PATH, b"Content-Type: " + FORM, *headers, method=b"POST") + body


def chunk(data: bytes) -> bytes:
    """A chunk as it should be."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked(wire: bytes, kind: bytes = FORM, *headers: bytes) -> bytes:
    """A body in whatever this says are chunks."""
    head = get(PATH, b"Content-Type: " + kind, b"Transfer-Encoding: chunked", *headers, method=b"POST")
    return head + wire


def as_json(text: bytes | str) -> bytes:
    """A body said to be JSON."""
    return post(text.encode() if isinstance(text, str) else text, JSON)


def field_of(value: str) -> bytes:
    """A JSON object with a CallSid and one more field, whose value is written as given."""
    return as_json('{"CallSid": "@CASESID@", "x": ' + value + "}")


def part(name: bytes, text: bytes, *headers: bytes) -> bytes:
    """One part of a form, behind its boundary."""
    return b"\r\n".join([b"--x", b'Content-Disposition: form-data; name="' + name + b'"', *headers, b"", text, b""])


def multipart(*parts: bytes, end: bytes = b"--x--\r\n", kind: bytes = b"multipart/form-data; boundary=x") -> bytes:
    """Parts and an end."""
    return post(b"".join(parts) + end, kind)


SID_PART = part(b"CallSid", FIELDS.partition(b"=")[2])
ALL = chunk(FIELDS)
LAST = b"0\r\n\r\n"


def padded(size: int) -> bytes:
    """A form of exactly so many bytes."""
    return (FIELDS + b"&pad=").ljust(size, b"x")
