"""Pipelined requests, slow requests, and requests that break off."""

from raw_requests import (
    ALL,
    FIELDS,
    FORM,
    JSON,
    LAST,
    MIB,
    PATH,
    QUERY,
    SMUGGLED,
    as_json,
    chunked,
    each,
    get,
    one,
    padded,
    post,
    request,
    reset,
)

HEALTH = get(b"/health/live")
PIPELINED = {
    "two deliveries": each(get() + get(QUERY + b"&a=1"), 200, 200),
    "the same delivery twice": each(get() + get(), 200, 200, deliveries=1),
    "the same delivery in three encodings": each(
        get() + post() + as_json('{"CallSid": "@CASESID@"}'), 200, 200, 200, deliveries=1
    ),
    "twenty probes": each(HEALTH * 20, *[200] * 20, deliveries=0),
    "a body and a probe": each(post() + HEALTH, 200, 200, deliveries=1),
    "chunks and a probe": each(chunked(ALL + LAST) + HEALTH, 200, 200, deliveries=1),
    "an empty line between": each(post() + b"\r\n" + HEALTH, 200, 200, deliveries=1),
    "good and then broken": each(get() + b"nonsense\r\n\r\n", 200, 400),
    "good and then cut": each(get() + get()[:-2], 200),
    "broken and then good": each(b"nonsense\r\n\r\n" + get(), 400),
    "refused and then good": each(get(PATH) + get(), 400, 200),
    "unknown and then good": each(get(b"/nowhere") + get(), 404, 200),
    "too large, cut, and then nothing": each(post(padded(MIB + 1))[:-1], 413),
    "bad JSON and then good": each(as_json("{") + as_json('{"CallSid": "@CASESID@"}'), 400, 200),
    "behind a close": each(get(QUERY, b"Connection: close") + get(QUERY + b"&a=1"), 200),
    "behind HTTP/1.0": each(request(b"GET " + QUERY + b" HTTP/1.0") + HEALTH, 200, deliveries=1),
    "behind CONNECT": one(get(b"caly:80", method=b"CONNECT") + SMUGGLED, 400, 404, 405),
    "behind a body of a GET": each(
        get(QUERY, b"Content-Type: " + FORM, b"Content-Length: 4") + b"a=12" + HEALTH, 200, 200, deliveries=1
    ),
    "behind Expect": each(post(FIELDS, FORM, b"Expect: 100-continue") + HEALTH, 200, 200, deliveries=1),
}  # fmt: skip


SLOW = {
    "head": each(get(), 200, dripping=60),
    "head, never finished": each(get()[:-2], dripping=60),
    "from the first byte": each(get(), 200, dripping=len(get())),
    "body": each(post(), 200, dripping=len(FIELDS)),
    "body, never finished": each(post(length=99), 400, dripping=len(FIELDS)),
    "chunks": each(chunked(ALL + LAST), 200, dripping=len(ALL + LAST)),
    "chunks, never finished": each(chunked(ALL), 400, dripping=len(ALL)),
    "second request": each(HEALTH * 2, 200, 200, deliveries=0, dripping=len(HEALTH)),
}

BROKEN_OFF = {
    "in the head": reset(get()[:-9]),
    "in a body": reset(post(length=99)),
    "in a body of JSON": reset(post(b'{"CallSid": ', JSON, length=99)),
    "in a chunk": reset(chunked(ALL[:9])),
    "between chunks": reset(chunked(ALL)),
    "in a body that is too large": reset(post(padded(MIB), length=10 * MIB)),
    "behind a whole request": reset(HEALTH + get()[:-9]),
}
