"""Tests the site of deploy/nginx in front of Gunicorn on a unix socket: its own answers, and what it passes on."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import http2
import pytest
import raw_http
from nginx_server import CERTIFICATE, SITE, Nginx
from raw_http import Answer
from raw_requests import MIB
from running_server import Server, webhook

OURS = re.compile(r"\d{13}-[a-z0-9]{9,64}")
FORGED_ID = "1795330293874-forgedforged"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
HEAD = b" HTTP/1.1\r\nHost: caly\r\n"
PRODUCTION = {
    "PUBLIC_URL": "https://caly.example",
    "APP_ENV": "production",
    "STREAM_BASE_URL": "wss://media.example",
    "SECRET_KEY": "1a" * 32,
    "WEBHOOK_ROOT_KEY": "2a" * 32,
    "STREAM_TOKEN_KEY": "3a" * 32,
    "ENCRYPTION_KEY": "4a" * 32,
    "HEALTH_TRUSTED": "127.0.0.1/32",
}


@pytest.fixture(scope="module")
def front() -> str:
    return "nginx"


@pytest.fixture(scope="module")
def server(module_serve) -> Server:
    """A server as in production: requires keys, and HTTPS for everything except its health."""
    return module_serve(**PRODUCTION)


@pytest.fixture(scope="module")
def asha(server, tenant) -> dict:
    return tenant(server)


@pytest.fixture
def link(server) -> Iterator[ssl.SSLSocket]:
    """A TLS connection, as Exotel makes it."""
    with (
        raw_http.connect(server.nginx.tls_port) as plain,
        _trusting().wrap_socket(plain, server_hostname="localhost") as link,
    ):
        yield link


def _trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CERTIFICATE)


def exchange(link: socket.socket, raw: bytes) -> Answer:
    """Sends the only request of this connection. Returns the answer."""
    raw_http.send(link, raw)
    (answer,) = raw_http.answers(raw_http.receive(link))
    return answer


def get(target: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: caly", "Connection: close", *headers, "", ""]).encode()


class TestAnswersOfNginx:
    @pytest.mark.parametrize(
        ("raw", "status", "code"),
        [
            (b"nonsense\r\n\r\n", 400, "BAD_REQUEST"),
            (b"GET /health/live HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"),
            (b"GET / HTTP/3.0\r\nHost: caly\r\n\r\n", 400, "BAD_REQUEST"),
            (b"POST /webhooks" + HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400, "BAD_REQUEST"),
            (get("/.caly/error"), 404, "NOT_FOUND"),
            (get("/.well-known/acme-challenge/none"), 404, "NOT_FOUND"),
            (b"TRACE /health/live" + HEAD + b"Connection: close\r\n\r\n", 405, "METHOD_NOT_ALLOWED"),
            (
                b"POST /webhooks" + HEAD + b"Content-Length: 1048577\r\n\r\n" + b"x" * (MIB + 1),
                413,
                "PAYLOAD_TOO_LARGE",
            ),
            (get("/webhooks?" + "x" * 9_000), 414, "REQUEST_URI_TOO_LONG"),
            (get("/", "X: " + "x" * 9_000), 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
        ],
    )
    def test_have_the_form_of_the_applications_answers(self, server, link, raw, status, code):
        usual = _usual(server)

        answer = exchange(link, raw)

        error = json.loads(answer.body)["error"]
        assert (answer.status, error["code"]) == (status, code)
        assert answer.headers["x-request-id"] == error["requestId"]
        assert set(answer.headers) == set(usual) | {"server", "date", "connection"}
        assert {name: answer.headers[name] for name in SECURITY} == {name: usual[name] for name in SECURITY}
        assert OURS.fullmatch(error["requestId"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)", error["timestamp"])
        assert set(error) == {"code", "message", "timestamp", "requestId"}

    def test_have_no_hsts_header_over_plain_http(self, server):
        with raw_http.connect(server.port) as link:
            answer = exchange(link, b"nonsense\r\n\r\n")

        assert answer.status == 400
        assert "strict-transport-security" not in answer.headers

    def test_report_plain_http_on_the_tls_port(self, server):
        with raw_http.connect(server.nginx.tls_port) as link:
            answer = exchange(link, get("/health/live"))

        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "BAD_REQUEST")

    def test_report_that_caly_is_unreachable(self, nginx):
        with raw_http.connect(nginx.port) as link:
            answer = exchange(link, get("/webhooks/exotel/call-start"))

        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (502, "BAD_GATEWAY")

    @pytest.mark.parametrize("began", [b"GET /health/li", b"POST /webhooks" + HEAD + b"Content-Length: 9\r\n\r\nx"])
    def test_are_not_sent_to_a_slow_client(self, link, began):
        raw_http.send(link, began)

        # nginx closes the connection. If it did not, `recv` would raise a TimeoutError.
        assert raw_http.receive(link) == b""


class TestProxying:
    def test_does_not_change_or_duplicate_headers_of_an_answer(self, link):
        raw_http.send(link, get("/health/live"))
        head = raw_http.receive(link).partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]

        names = [line.partition(":")[0].lower() for line in head]
        assert sorted(names) == sorted(set(names))
        assert {*SECURITY, "x-request-id"} <= set(names)
        assert "gunicorn" not in "".join(head)
        assert "Server: nginx" in head

    def test_passes_on_the_real_client_address_and_not_a_forged_one(self, link, asha, module_query):
        forged = (
            "X-Forwarded-For: 203.0.113.9",
            "X-Forwarded-For: 203.0.113.10",
            "Forwarded: for=203.0.113.9",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: evil.example",
            f"X-Request-ID: {FORGED_ID}",
        )

        answer = exchange(link, get(webhook(asha, "passthru") + "&CallSid=forged", *forged))

        given = answer.headers["x-request-id"]
        assert answer.status == 200
        assert OURS.fullmatch(given)
        assert given != FORGED_ID
        assert module_query("SELECT ip_address::text FROM audit_logs WHERE request_id = %s", given) == [
            ("127.0.0.1/32",)
        ]
        assert module_query("SELECT count(*) FROM audit_logs WHERE request_id = %s", FORGED_ID) == [(0,)]

    @pytest.mark.parametrize("padding", [7_900, 0])
    def test_accepts_a_request_line_as_long_as_gunicorn_does(self, link, asha, padding):
        target = webhook(asha, "passthru") + "&CallSid=long&pad="

        assert exchange(link, get(target.ljust(padding, "x"))).status == 200

    def test_never_redirects_a_delivery(self, link):
        assert exchange(link, get("/webhooks")).status == 404

    def test_retries_a_delivery_when_its_worker_dies(self, server, link, asha, module_query):
        head = (
            f"POST {webhook(asha, 'call-end')}".encode()
            + HEAD
            + FORM
            + b"Connection: close\r\nContent-Length: 12\r\n\r\n"
        )
        (worker,) = server.workers()
        module_query("BEGIN")
        module_query("LOCK TABLE deliveries")

        with ThreadPoolExecutor(1) as exotel:
            answer = exotel.submit(exchange, link, head + b"CallSid=died")
            _until(lambda: module_query("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)])
            os.kill(worker, signal.SIGKILL)
            module_query("ROLLBACK")

        assert answer.result().status == 200
        assert module_query("SELECT count(*) FROM calls WHERE call_sid = 'died'") == [(1,)]

    def test_speaks_http_2(self, server):
        context = _trusting()
        context.set_alpn_protocols(["h2"])
        with (
            raw_http.connect(server.nginx.tls_port) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as link,
        ):
            status = http2.status_of(link, "/health/live")

            assert link.selected_alpn_protocol() == "h2"
        assert status == 200

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
    def test_refuses_tls_before_1_2(self, server, version):
        context = _trusting()
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")

        with raw_http.connect(server.nginx.tls_port) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(plain, server_hostname="localhost")


class TestPlainHttp:
    def test_refuses_deliveries_and_the_api(self, server, asha):
        for path in (webhook(asha, "call-start"), "/api/calls"):
            status, answer = server.ask("GET", path)

            assert (status, answer["error"]["code"]) == (403, "AUTHORIZATION_ERROR")

    def test_redirects_pages_to_https(self, server):
        with raw_http.connect(server.port) as link:
            answer = exchange(link, get("/console?next=1"))

        assert (answer.status, answer.headers["location"]) == (301, "https://caly/console?next=1")

    def test_serves_the_health_endpoint(self, server):
        assert server.ask("GET", "/health/live")[0] == 200

    def test_serves_acme_challenges(self, server):
        challenge = server.nginx.webroot / ".well-known" / "acme-challenge" / "token"
        challenge.parent.mkdir(parents=True)
        challenge.write_text("proof")

        with raw_http.connect(server.port) as link:
            answer = exchange(link, get("/.well-known/acme-challenge/token"))

        assert (answer.status, answer.body) == (200, b"proof")


class TestHealth:
    """Caly decides who may see the details, by the client's address and not by that of nginx."""

    def key(self, server, role: str, *client: str) -> str:
        return server.cli("keys", "create", "--name", role, "--role", role, *client)["key"]

    def ask(self, server, path: str, **headers: str) -> tuple[int, dict]:
        """Sends a request from an address of this machine that is not in HEALTH_TRUSTED."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, source_address=("127.0.0.2", 0))
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, body

    @pytest.mark.parametrize("path", ["/health/detailed", "/health/metrics", "/health/%6detrics"])
    def test_has_no_details_without_authentication(self, server, path):
        status, body = self.ask(server, path, X_Forwarded_For="127.0.0.1", Forwarded="for=127.0.0.1")

        assert (status, body["error"]["code"]) == (401, "AUTHENTICATION_ERROR")

    @pytest.mark.parametrize("path", ["/health/detailed", "/health/metrics"])
    def test_has_details_for_an_admin_from_any_address(self, server, path):
        status, body = self.ask(server, path, Authorization=f"Bearer {self.key(server, 'admin')}")

        assert status == 200
        assert "checks" in body or "requests" in body

    def test_has_no_details_for_other_roles(self, server, asha):
        for role, *client in (("auditor",), ("client", "--client", asha["id"])):
            assert (
                self.ask(server, "/health/detailed", Authorization=f"Bearer {self.key(server, role, *client)}")[0]
                == 403
            )

    @pytest.mark.parametrize("path", ["/health/detailed", "/health/metrics"])
    def test_has_details_for_trusted_networks(self, server, path):
        assert server.ask("GET", path)[0] == 200


def test_logs_contain_no_key_and_no_query(server, asha, link):
    key, target = asha["webhookKey"], webhook(asha, "call-start")
    login = base64.b64encode(f"user:{key}".encode()).decode()
    requests = [
        get(target + "&CallSid=canaryQuery", f"Referer: https://x.example{target}", f"User-Agent: {key}"),
        get("/webhooks/exotel/call-start?CallSid=canaryQuery", f"Authorization: Basic {login}"),
        get(target.replace("?", "&")),
        get(target.replace("?", "%3F")),
        get(target.replace("?", "/")),
        get(f"/{key}"),
        get(f"http://caly{target}"),
        get(f"http://user:{key}@caly{target}"),
        get(target, f"Host: {key}"),
        get(target).replace(b"GET", b"PUT"),
        get(target).replace(b"GET", b"TRACE"),
        get(target).replace(b"GET", key.encode()),
        get(target).replace(b"HTTP/1.1", key.encode()),
        get(target + "x" * 9_000),
        get(target, "X: " + "x" * 9_000),
        f"{key}\r\n\r\n".encode(),
        f"GET {target}\r\n\r\n".encode(),
        f"POST {target}".encode() + HEAD + b"Content-Length: 99999999\r\n\r\n",
        f"POST {target}".encode() + HEAD + b"Content-Length: 99\r\n\r\nCallSid=",
        f"POST {target}".encode() + HEAD + b"Connection: close\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000,
    ]

    before = len(server.nginx.requests())
    for raw in requests:
        with raw_http.connect(server.port) as link:
            raw_http.send(link, raw)
            raw_http.finish(link)
            raw_http.receive(link)

    _until(lambda: len(server.nginx.requests()) - before == len(requests))  # nginx writes a line after the answer
    said = server.nginx.output()
    assert [word for word in (key, login, "canaryQuery", "user:") if word in said] == []
    lines = server.nginx.requests()[before:]
    assert {line["route"] for line in lines} >= {"/webhooks/exotel/call-start", "/webhooks/exotel", "-"}
    assert {line["method"] for line in lines} >= {"GET", "POST", "PUT", "TRACE", "-"}


class TestFailures:
    """Requests that nginx or Caly failed: the log has the reason, and not the key."""

    @pytest.fixture
    def failure(self, nginx):
        """`failure()` sends a delivery that fails. Returns its line in the log of failures."""

        def ask() -> dict:
            with raw_http.connect(nginx.port) as link:
                exchange(link, get("/webhooks/exotel/call-start?key=cwk_canary"))
            _until(lambda: nginx.requests() and nginx.failures() == nginx.requests())
            assert "canary" not in nginx.output()
            (line,) = nginx.failures()
            return line

        return ask

    def test_are_logged_when_caly_does_not_listen(self, failure):
        line = failure()

        assert (line["status"], line["failure"]) == ("502", "Caly takes no connection")

    def test_are_logged_when_caly_closes_the_connection(self, nginx, failure):
        with upstream(nginx, lambda link: link.close()):
            line = failure()

        assert (line["status"], line["failure"]) == ("502", "Caly closed the connection without a whole answer")

    def test_are_logged_when_connections_run_out(self, nginx, failure):
        restart(nginx, connections=4)  # the worker needs three for itself, and the sender one

        line = failure()

        assert line["status"] == "500"
        assert line["failure"].startswith("nginx could not pass the request on: no connection")

    def test_before_a_request_is_read_are_in_the_error_log(self, nginx):
        restart(nginx, connections=3)

        with raw_http.connect(nginx.port) as link:
            raw_http.send(link, get("/webhooks/exotel/call-start?key=cwk_canary"))
            _until(lambda: "3 worker_connections are not enough" in nginx.output())
        assert "canary" not in nginx.output()

    def test_do_not_include_error_answers_of_caly(self, server):
        before = len(server.nginx.failures())

        assert server.ask("GET", "/webhooks/exotel/nowhere")[0] == 403

        _until(lambda: server.nginx.requests()[-1]["route"] == "/webhooks/exotel/nowhere")
        assert server.nginx.requests()[-1]["failure"] == ""
        assert len(server.nginx.failures()) == before


@pytest.mark.parametrize(
    "location", re.findall(r"^    location .*\{\n(?:.+\n|\n)*?    \}", SITE.read_text(), re.MULTILINE)
)
def test_every_location_turns_off_the_error_log_of_requests(location):
    assert "        error_log /var/log/caly/error.log emerg;\n" in location


def restart(nginx: Nginx, *, connections: int) -> None:
    """Restarts nginx with this number of connections for each worker."""
    nginx.stop()
    nginx.limit_connections(connections)
    nginx.start()


@contextmanager
def upstream(nginx: Nginx, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Runs an upstream of nginx that calls `serve` with every connection."""
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(str(nginx.upstream))
        listener.listen()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    link = listener.accept()[0]
                    link.recv(65_536)
                    serve(link)

        pool.submit(accept)
        yield
        listener.shutdown(socket.SHUT_RDWR)


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(300):
        if holds():
            return
        time.sleep(0.02)
    raise TimeoutError("it did not come to hold")


SECURITY = (
    "cache-control",
    "content-security-policy",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-dns-prefetch-control",
    "x-frame-options",
    "x-permitted-cross-domain-policies",
    "x-xss-protection",
)


def _usual(server: Server) -> dict[str, str]:
    """Returns the headers of the application's answer to a request over TLS."""
    with (
        raw_http.connect(server.nginx.tls_port) as plain,
        _trusting().wrap_socket(plain, server_hostname="localhost") as link,
    ):
        return exchange(link, get("/health/live")).headers
