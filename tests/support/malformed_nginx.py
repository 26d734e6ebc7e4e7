"""The cases that nginx in front answers differently from Gunicorn alone. Data only."""

from dataclasses import replace

from malformed import CASES
from raw_requests import Case

_LEFT = (  # the client left before the request was complete: no answer, and Caly never sees the request
    "Content-Length: and no body at all",
    "Content-Length: longer than the body",
    "Content-Length: one longer than the body",
    "chunks: cut before the end",
    "chunks: cut between two",
    "chunks: cut in a size",
    "chunks: cut in a trailer",
    "chunks: cut in the data",
    "chunks: none",
    "request line: empty",
    "slow: body, never finished",
    "slow: chunks, never finished",
)
_REFUSED = (  # with 400, where Caly alone accepts, does not see a request yet, or has a more precise status
    "Content-Length: of 10^30",
    "Content-Length: of 2^63",
    "Transfer-Encoding: behind a tab",
    "Transfer-Encoding: identity and then chunked",
    "headers: Basic twice",
    "headers: with bare CR only",
    "target: out of the root",
    "target: with an escape that is none",
    "target: with encoded NUL",
    "target: with half an escape",
)
_MENDED = (  # nginx accepts it, and passes on a valid request with a length
    "chunks: with 200 trailers",
    "chunks: with a Content-Length in the trailer",
    "chunks: with a blank after the size",
    "chunks: with a folded trailer",
    "chunks: with a trailer of 2 MB",
    "chunks: with a trailer without a colon",
    "chunks: with an Authorization in the trailer",
    "chunks: with an extension that is none",
    "headers: Expect something else",
    "headers: Upgrade to a websocket",
    "headers: after a bare LF",
    "headers: with a bare LF",
    "headers: with a bracket in the name",
    "headers: with a letter beyond ASCII in the name",
    "headers: with bare LF only",
    "headers: without a colon",
    "request line: a bare LF before",
    "request line: two blanks inside",
    "request line: two empty lines before",
)
_OTHERWISE = {
    **dict.fromkeys(_LEFT, ()),
    **dict.fromkeys(_REFUSED, (400,)),
    **dict.fromkeys(_MENDED, (200,)),
    "Content-Length: shorter than the body": (200, 400),  # the rest of the body is not a valid request
    "headers: 99 of them": (431,),  # with those that nginx adds they are more than a hundred
}
# nginx accepts a bare LF as a line end, so the second request is valid.
_TWO_REQUESTS = "Transfer-Encoding: behind a bare LF"
SECOND_REQUESTS = {"SMUGGLED"}
"""The CallSids of requests behind another that are requests in their own right here."""

_WITHOUT_STATUS = "request line: HTTP/0.9"


def _through_nginx(name: str, case: Case) -> Case:
    if name == _TWO_REQUESTS:
        return replace(case, allowed=_each(200, 200), deliveries=1)
    return replace(case, allowed=_each(*_OTHERWISE[name])) if name in _OTHERWISE else case


def _each(*statuses: int) -> tuple[frozenset[int], ...]:
    return tuple(frozenset({status}) for status in statuses)


CASES_THROUGH_NGINX = {name: _through_nginx(name, case) for name, case in CASES.items() if name != _WITHOUT_STATUS}
