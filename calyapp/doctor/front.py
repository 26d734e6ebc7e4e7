"""Checks of what an unknown sender gets through nginx: trusted headers, plain HTTP, and response headers.

No request can become a delivery: they read `/health/live`, or send a webhook an invalid key.
"""

import http.client
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from ipaddress import ip_network
from urllib.parse import urlsplit

from calyapp.doctor import network
from calyapp.doctor.diagnosis import NamedCheck, fail, ok, warn
from calyapp.health.checks import Finding
from calyapp.web.pipeline import request_id, security_headers

_SECONDS = 5.0
_WEBHOOK = "/webhooks/exotel/heartbeat?key=none"
_TEST_NETWORK = ip_network("198.18.0.0/15")  # RFC 2544: reserved for tests of networks, so no client uses it
_FORGED_HOST = "forged.invalid"
_MIN_CERTIFICATE_DAYS = 14
_MAX_CLOCK_DIFFERENCE_SECONDS = 2.0
_SITE = "Use deploy/nginx/caly.conf unchanged: "


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response, with lower-case header names, and when its request was sent and it was received (Unix time)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sent_at: float
    received_at: float

    def all(self, name: str) -> list[str]:
        """Returns every value of the header."""
        return [value for header, value in self.headers if header == name.lower()]

    def first(self, name: str) -> str:
        """Returns the first value of the header, or an empty text."""
        return next(iter(self.all(name)), "")


Send = Callable[..., HttpResponse]
"""`send(method, path, **headers)`. Raises `OSError`."""


def checks(url: str | None, http_url: str | None, *, in_production: bool, workers: int) -> list[NamedCheck]:
    """Returns the checks of the address; without one, a check that asks for it."""
    if url is None:
        return [NamedCheck("front", _not_examined)]
    parts = urlsplit(url)
    send = sender(url)
    forged_id = request_id.mint()
    live = cache(lambda: send("GET", "/health/live", **{request_id.HEADER: forged_id}))
    return [
        NamedCheck("certificate", lambda: check_certificate(url, in_production)),
        NamedCheck("front", lambda: check_liveness(live), "certificate"),
        NamedCheck("request id", lambda: check_request_id(live(), forged_id), "front"),
        NamedCheck("forwarded address", lambda: check_forwarded_address(send, workers), "front"),
        NamedCheck("security headers", lambda: check_security_headers(live(), parts.scheme), "front"),
        NamedCheck("server header", lambda: check_server_header(live()), "front"),
        NamedCheck("clock", lambda: check_clock(live()), "front"),
        *(
            [NamedCheck("plain http", _over_plain_http(http_url or f"http://{parts.hostname}"))]
            if in_production
            else []
        ),
    ]


def _not_examined() -> Iterator[Finding]:
    yield warn(
        "not examined: no address was given",
        "Set PUBLIC_URL to the address under which Exotel reaches the service, or give --url.",
    )


def sender(url: str) -> Send:
    """Returns a function that sends a request to this server, each on a new connection."""
    base = urlsplit(url)
    connect = http.client.HTTPSConnection if base.scheme == "https" else http.client.HTTPConnection

    def send(method: str, path: str, **headers: str) -> HttpResponse:
        with closing(connect(base.netloc, timeout=_SECONDS)) as connection:
            sent_at = time.time()
            try:
                connection.request(method, base.path.rstrip("/") + path, headers=headers)
                answer = connection.getresponse()
                body = answer.read(64 * 1024)
            except http.client.HTTPException as error:
                raise ConnectionError(type(error).__name__) from None
            lowered = tuple((name.lower(), value) for name, value in answer.getheaders())
            return HttpResponse(answer.status, lowered, body, sent_at, time.time())

    return send


def check_certificate(url: str, in_production: bool) -> Iterator[Finding]:
    """Checks that the certificate is valid, and for two weeks more."""
    parts = urlsplit(url)
    if parts.scheme == "http":
        severity = fail if in_production else warn
        yield severity(
            "the address begins with http://: keys and numbers are sent unencrypted", "Register https:// with Exotel."
        )
        return
    try:
        handshake = network.handshake(parts.hostname or "", parts.port or 443, _SECONDS)
    except OSError as error:
        yield fail(network.describe(error), "Start nginx and point DNS to it. For the certificate: `certbot renew`.")
        return
    yield ok(f"valid for {handshake.days_left:.0f} days, {handshake.version}")
    if handshake.days_left <= _MIN_CERTIFICATE_DAYS:
        yield warn(f"the certificate expires in {handshake.days_left:.0f} days", "Renew it: `certbot renew`.")


def check_liveness(live: Callable[[], HttpResponse]) -> Iterator[Finding]:
    """Checks that Caly answers at the address, and not another server."""
    remedy = "Check that the service runs (systemctl status caly) and that nginx passes requests to its socket."
    try:
        answer = live()
    except OSError as error:
        yield fail(network.describe(error), remedy)
        return
    if answer.status == 200 and _is_alive(answer.body):
        yield ok("/health/live answers")
    else:
        yield fail(f"/health/live answers {answer.status}, but not as Caly does", remedy)


def _is_alive(body: bytes) -> bool:
    try:
        return bool(json.loads(body)["status"] == "alive")
    except (ValueError, KeyError, TypeError):
        return False


def check_request_id(answer: HttpResponse, forged: str) -> Iterator[Finding]:
    """Checks that a sender cannot choose the request id of the log and of the audit log."""
    if answer.all(request_id.HEADER) == [forged]:
        yield fail(
            "the sender's X-Request-ID is trusted",
            f"{_SITE}proxy_set_header X-Request-ID $caly_request_id;",
        )
    elif len(answer.all(request_id.HEADER)) == 1:
        yield ok("the sender's is replaced")
    else:
        yield fail(f"the answer has X-Request-ID {len(answer.all(request_id.HEADER))} times", _NOT_TWICE)


def check_forwarded_address(send: Send, workers: int) -> Iterator[Finding]:
    """Checks that a sender who claims several addresses is counted as one.

    Rate limits count by address, and answers show what remains. One request more than there are workers is sent,
    because each worker may count for itself: two of them reach the same worker.
    """
    hosts = random.SystemRandom().sample(range(_TEST_NETWORK.num_addresses), workers + 1)
    answers = [send("HEAD", _WEBHOOK, **{"X-Forwarded-For": str(_TEST_NETWORK[host])}) for host in hosts]
    remaining = {answer.first("X-RateLimit-Remaining") for answer in answers}
    if remaining == {""}:
        yield warn("the answers of webhooks have no X-RateLimit-Remaining", f"{_SITE}it hides no header of Caly.")
    elif len(remaining) == 1 and remaining != {"0"}:
        yield fail("the sender's X-Forwarded-For is trusted", f"{_SITE}proxy_set_header X-Forwarded-For $remote_addr;")
    else:
        yield ok("the sender's X-Forwarded-For is not trusted")


def check_security_headers(answer: HttpResponse, scheme: str) -> Iterator[Finding]:
    """Checks that each security header is there once. Of two, browsers may use either."""
    expected = [*security_headers.WITHOUT_FLASK, *(["Strict-Transport-Security"] if scheme == "https" else [])]
    yield ok(f"all {len(expected)}, each once")
    if missing := [name for name in expected if not answer.all(name)]:
        yield fail(f"missing: {', '.join(missing)}", f"{_SITE}proxy_hide_header and rewrites remove them.")
    if repeated := [name for name in expected if len(answer.all(name)) > 1]:
        yield fail(f"twice: {', '.join(repeated)}", _NOT_TWICE)


def check_server_header(answer: HttpResponse) -> Iterator[Finding]:
    """Checks that no header reveals a version, which would tell an attacker which faults to try."""
    revealing = [
        f"{name}: {value}"
        for name in ("Server", "X-Powered-By")
        for value in answer.all(name)
        if any(letter.isdigit() for letter in value)
    ]
    if revealing:
        yield warn(f"reveals a version ({', '.join(revealing)})", f"{_SITE}server_tokens off;")
    else:
        yield ok("reveals no version")


def check_clock(answer: HttpResponse) -> Iterator[Finding]:
    """Checks that the clock of the host of nginx agrees with this one. The header has whole seconds only."""
    try:
        moment = parsedate_to_datetime(answer.first("Date")).timestamp()
    except ValueError:
        yield warn("the answer has no Date", f"{_SITE}it hides no header.")
        return
    difference = max(answer.sent_at - (moment + 1), moment - answer.received_at)
    if difference > _MAX_CLOCK_DIFFERENCE_SECONDS:
        yield warn(
            f"the clocks of nginx's host and of this one differ by {difference:.0f} s",
            "Synchronise both hosts with a time server: timedatectl set-ntp true.",
        )
    else:
        yield ok(f"within {_MAX_CLOCK_DIFFERENCE_SECONDS:g} s of this host's")


def _over_plain_http(http_url: str) -> Callable[[], Iterator[Finding]]:
    return lambda: check_plain_http(sender(http_url))


def check_plain_http(send: Send) -> Iterator[Finding]:
    """Checks that plain HTTP redirects a page to HTTPS and refuses a delivery, whatever its sender claims."""
    try:
        page = send("GET", "/", **{"X-Forwarded-Host": _FORGED_HOST})
        delivery = send("POST", _WEBHOOK)
        claiming = send("POST", _WEBHOOK, **{"X-Forwarded-Proto": "https"})
    except OSError as error:
        yield ok(f"plain HTTP is not served: {network.describe(error)}")
        return
    yield ok("pages go to https://, deliveries are refused")
    yield from _assess_page(page)
    if 300 <= delivery.status < 400:
        yield fail(
            f"a delivery over plain HTTP is redirected ({delivery.status}), which Exotel reads as a decision",
            f"{_SITE}one server for both ports, without `return 301`.",
        )
    elif delivery.status != 403:
        yield fail(f"a delivery over plain HTTP is answered {delivery.status}, not 403", _OWN_SCHEME)
    elif claiming.status != 403:
        yield fail("the sender's X-Forwarded-Proto is trusted", _OWN_SCHEME)


def _assess_page(page: HttpResponse) -> Iterator[Finding]:
    location = urlsplit(page.first("Location"))
    if page.status != 301 or location.scheme != "https":
        yield fail(f"a page over plain HTTP is answered {page.status}, not redirected to https://", _OWN_SCHEME)
    elif location.hostname == _FORGED_HOST:
        yield fail("the sender's X-Forwarded-Host is trusted", f"{_SITE}proxy_set_header X-Forwarded-Host $host;")


_OWN_SCHEME = f"{_SITE}proxy_set_header X-Forwarded-Proto $scheme;"
_NOT_TWICE = f"{_SITE}Caly sets this header, so nginx must not add it to its answers."
