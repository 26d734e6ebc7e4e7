"""What a stranger sees through nginx: who is believed, what is said in clear, and what an answer carries.

Nothing that it sends can become a delivery: only health is read, and webhooks are asked with a key that is none.
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
_TEST_NETWORK = ip_network("198.18.0.0/15")  # RFC 2544: for tests of networks, so no customer comes from there
_FORGED_HOST = "forged.invalid"
_DAYS_LEFT = 14
_SECONDS_APART = 2.0
_SITE = "Use deploy/nginx/caly.conf as it is: "


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back, and when it was sent and there (Unix time). Names of headers are in small letters."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sent_at: float
    received_at: float

    def all(self, name: str) -> list[str]:
        """The header's values, one for each time that it stands there."""
        return [value for known, value in self.headers if known == name.lower()]

    def first(self, name: str) -> str:
        """The header's value, empty if there is none."""
        return next(iter(self.all(name)), "")


Ask = Callable[..., HttpResponse]
"""`ask(method, path, **headers)`; raises OSError."""


def checks(url: str | None, http_url: str | None, *, in_production: bool, workers: int) -> list[NamedCheck]:
    """Those of an address; without one, a check that says so."""
    if url is None:
        return [NamedCheck("front", _not_examined)]
    parts = urlsplit(url)
    ask = asking(url)
    forged_id = request_id.mint()
    live = cache(lambda: ask("GET", "/health/live", **{request_id.HEADER: forged_id}))
    return [
        NamedCheck("certificate", lambda: check_certificate(url, in_production)),
        NamedCheck("front", lambda: check_liveness(live), "certificate"),
        NamedCheck("request id", lambda: check_request_id(live(), forged_id), "front"),
        NamedCheck("forwarded address", lambda: check_forwarded_address(ask, workers), "front"),
        NamedCheck("security headers", lambda: check_security_headers(live(), parts.scheme), "front"),
        NamedCheck("server header", lambda: check_server_header(live()), "front"),
        NamedCheck("clock", lambda: check_clock(live()), "front"),
        *([NamedCheck("plain http", _in_clear(http_url or f"http://{parts.hostname}"))] if in_production else []),
    ]


def _not_examined() -> Iterator[Finding]:
    yield warn(
        "not examined: no address was given",
        "Set PUBLIC_URL to the address under which Exotel reaches the service, or give --url.",
    )


def asking(url: str) -> Ask:
    """Of this server, on a connection of its own each time."""
    base = urlsplit(url)
    kind = http.client.HTTPSConnection if base.scheme == "https" else http.client.HTTPConnection

    def ask(method: str, path: str, **headers: str) -> HttpResponse:
        with closing(kind(base.netloc, timeout=_SECONDS)) as connection:
            sent_at = time.time()
            try:
                connection.request(method, base.path.rstrip("/") + path, headers=headers)
                answer = connection.getresponse()
                body = answer.read(64 * 1024)
            except http.client.HTTPException as error:
                raise ConnectionError(type(error).__name__) from None
            known = tuple((name.lower(), value) for name, value in answer.getheaders())
            return HttpResponse(answer.status, known, body, sent_at, time.time())

    return ask


def check_certificate(url: str, in_production: bool) -> Iterator[Finding]:
    """Exotel and browsers will take it, and for some time yet."""
    parts = urlsplit(url)
    if parts.scheme == "http":
        say = fail if in_production else warn
        yield say("the address begins with http://: keys and numbers go in clear", "Register https:// with Exotel.")
        return
    try:
        agreed = network.handshake(parts.hostname or "", parts.port or 443, _SECONDS)
    except OSError as error:
        yield fail(network.why(error), "Start nginx and let DNS lead to it; for the certificate: `certbot renew`.")
        return
    yield ok(f"good for {agreed.days_left:.0f} days, {agreed.version}")
    if agreed.days_left <= _DAYS_LEFT:
        yield warn(f"the certificate ends in {agreed.days_left:.0f} days", "Renew it: `certbot renew`.")


def check_liveness(live: Callable[[], HttpResponse]) -> Iterator[Finding]:
    """Caly answers there, and not somebody else."""
    remedy = "See that the service runs (systemctl status caly) and that nginx leads to its socket."
    try:
        answer = live()
    except OSError as error:
        yield fail(network.why(error), remedy)
        return
    if answer.status == 200 and _is_alive(answer.body):
        yield ok("/health/live answers")
    else:
        yield fail(f"/health/live answers {answer.status}, and not as Caly does", remedy)


def _is_alive(body: bytes) -> bool:
    try:
        return bool(json.loads(body)["status"] == "alive")
    except (ValueError, KeyError, TypeError):
        return False


def check_request_id(answer: HttpResponse, forged: str) -> Iterator[Finding]:
    """It is ours: a stranger cannot choose under which id he stands in the log and in the trail."""
    if answer.all(request_id.HEADER) == [forged]:
        yield fail(
            "a stranger's X-Request-ID is believed",
            f"{_SITE}proxy_set_header X-Request-ID $caly_request_id;",
        )
    elif len(answer.all(request_id.HEADER)) == 1:
        yield ok("a stranger's is replaced")
    else:
        yield fail(f"X-Request-ID stands {len(answer.all(request_id.HEADER))} times in the answer", _NOT_TWICE)


def check_forwarded_address(ask: Ask, workers: int) -> Iterator[Finding]:
    """Whoever claims other addresses is counted as the same: the limits show it, for they are counted by address.

    One more than there are workers: each may count for itself.
    """
    hosts = random.SystemRandom().sample(range(_TEST_NETWORK.num_addresses), workers + 1)
    answers = [ask("HEAD", _WEBHOOK, **{"X-Forwarded-For": str(_TEST_NETWORK[host])}) for host in hosts]
    left = {answer.first("X-RateLimit-Remaining") for answer in answers}
    if left == {""}:
        yield warn("the webhooks' answers carry no X-RateLimit-Remaining", f"{_SITE}it hides no header of Caly's.")
    elif len(left) == 1 and left != {"0"}:
        yield fail("a stranger's X-Forwarded-For is believed", f"{_SITE}proxy_set_header X-Forwarded-For $remote_addr;")
    else:
        yield ok("a stranger's X-Forwarded-For is not believed")


def check_security_headers(answer: HttpResponse, scheme: str) -> Iterator[Finding]:
    """All of them, and each once: of two, browsers take the one or the other."""
    wanted = [*security_headers.WITHOUT_FLASK, *(["Strict-Transport-Security"] if scheme == "https" else [])]
    yield ok(f"all {len(wanted)}, each once")
    if missing := [name for name in wanted if not answer.all(name)]:
        yield fail(f"missing: {', '.join(missing)}", f"{_SITE}proxy_hide_header and rewrites take them away.")
    if doubled := [name for name in wanted if len(answer.all(name)) > 1]:
        yield fail(f"twice: {', '.join(doubled)}", _NOT_TWICE)


def check_server_header(answer: HttpResponse) -> Iterator[Finding]:
    """It tells nobody which faults to try."""
    telling = [
        f"{name}: {value}"
        for name in ("Server", "X-Powered-By")
        for value in answer.all(name)
        if any(letter.isdigit() for letter in value)
    ]
    if telling:
        yield warn(f"tells its version ({', '.join(telling)})", f"{_SITE}server_tokens off;")
    else:
        yield ok("tells no version")


def check_clock(answer: HttpResponse) -> Iterator[Finding]:
    """That of the host where nginx runs and ours tell the same time; the header knows whole seconds only."""
    try:
        moment = parsedate_to_datetime(answer.first("Date")).timestamp()
    except ValueError:
        yield warn("the answer has no Date", f"{_SITE}it hides no header.")
        return
    apart = max(answer.sent_at - (moment + 1), moment - answer.received_at)
    if apart > _SECONDS_APART:
        yield warn(
            f"nginx's clock and this host's are {apart:.0f} s apart",
            "Let both hosts follow a time server: timedatectl set-ntp true.",
        )
    else:
        yield ok(f"within {_SECONDS_APART:g} s of this host's")


def _in_clear(http_url: str) -> Callable[[], Iterator[Finding]]:
    return lambda: check_plain_http(asking(http_url))


def check_plain_http(ask: Ask) -> Iterator[Finding]:
    """A page is sent to HTTPS; a delivery is refused, never sent elsewhere, whatever its sender claims."""
    try:
        page = ask("GET", "/", **{"X-Forwarded-Host": _FORGED_HOST})
        delivery = ask("POST", _WEBHOOK)
        claiming = ask("POST", _WEBHOOK, **{"X-Forwarded-Proto": "https"})
    except OSError as error:
        yield ok(f"nothing is said in clear: {network.why(error)}")
        return
    yield ok("pages are sent to https://, deliveries are refused")
    yield from _assess_page(page)
    if 300 <= delivery.status < 400:
        yield fail(
            f"a delivery in clear is redirected ({delivery.status}), which Exotel reads as a decision",
            f"{_SITE}one server for both ports, without `return 301`.",
        )
    elif delivery.status != 403:
        yield fail(f"a delivery in clear is answered {delivery.status}, not 403", _OWN_SCHEME)
    elif claiming.status != 403:
        yield fail("a stranger's X-Forwarded-Proto is believed", _OWN_SCHEME)


def _assess_page(page: HttpResponse) -> Iterator[Finding]:
    location = urlsplit(page.first("Location"))
    if page.status != 301 or location.scheme != "https":
        yield fail(f"a page in clear is answered {page.status}, not sent to https://", _OWN_SCHEME)
    elif location.hostname == _FORGED_HOST:
        yield fail("a stranger's X-Forwarded-Host is believed", f"{_SITE}proxy_set_header X-Forwarded-Host $host;")


_OWN_SCHEME = f"{_SITE}proxy_set_header X-Forwarded-Proto $scheme;"
_NOT_TWICE = f"{_SITE}Caly sets this header, so no add_header in nginx for its answers."
