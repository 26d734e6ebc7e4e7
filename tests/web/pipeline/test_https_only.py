import json
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse, create_environ, run_wsgi_app

from calyapp.app import create_app
from calyapp.config import Settings
from calyapp.web.routing import Access

PRODUCTION = {
    "APP_ENV": "production",
    **{name: name * 4 for name in ("SECRET_KEY", "WEBHOOK_ROOT_KEY", "STREAM_TOKEN_KEY")},
    "ENCRYPTION_KEY": "ab" * 32,
    "STREAM_BASE_URL": "wss://media.example",
    "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly",
    "TRUSTED_PROXIES": "10.0.0.0/8",
}
PROXY, UNTRUSTED, UNIX_SOCKET = "10.0.0.1", "203.0.113.9", ""
FORGED = {
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "evil.example",
    "HTTP_X_FORWARDED_SSL": "on",
    "HTTP_FORWARDED": "proto=https;host=evil.example",
}


@pytest.fixture(scope="module")
def standing():
    """The application as in production, with a page. Needs no database."""
    app = create_app(Settings.from_env(PRODUCTION))
    app.add_url_rule("/console", "console", lambda: "page", methods=["GET", "POST"], access=Access.PUBLIC)
    yield app
    app.extensions["caly"].close()


@pytest.fixture(scope="module")
def ask(standing):
    """`ask(path, **environ)`: the answer to a request over plain HTTP, with the raw path as a server provides it."""

    def send(path: str, method: str = "GET", peer: str = UNTRUSTED, without: str = "", **environ: str):
        whole = create_environ("/", "http://caly.example", method=method)
        whole |= {"PATH_INFO": path, "REMOTE_ADDR": peer} | environ
        whole.pop(without, None)
        body, status, headers = run_wsgi_app(standing, whole, buffered=True)
        return TestResponse(body, status, headers, standing.request_class(whole))

    return send


def error_of(answer) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


class TestPage:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_is_at_the_same_url_on_https(self, ask, method):
        answer = ask("/console", method, QUERY_STRING="since=2026-01-01&status=failed%20&q=%E0%A4%A8")

        assert answer.status_code == 301
        assert answer.headers["Location"] == (
            "https://caly.example/console?since=2026-01-01&status=failed%20&q=%E0%A4%A8"
        )

    def test_that_does_not_exist_is_redirected_too(self, ask):
        assert ask("/nowhere/").headers["Location"] == "https://caly.example/nowhere/"

    def test_at_the_root_is_redirected_too(self, ask):
        assert ask("/").headers["Location"] == "https://caly.example/"

    def test_keeps_the_prefix_under_which_the_service_is_mounted(self, ask):
        assert ask("/console", SCRIPT_NAME="/caly").headers["Location"] == "https://caly.example/caly/console"

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
    def test_accepts_no_writes_over_plain_http(self, ask, method):
        answer = ask("/console", method)

        assert error_of(answer) == (403, "AUTHORIZATION_ERROR")
        assert "Location" not in answer.headers

    def test_is_shown_over_https(self, ask):
        answer = ask("/console", peer=PROXY, HTTP_X_FORWARDED_PROTO="https")

        assert (answer.status_code, answer.text) == (200, "page")


class TestPrograms:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
    @pytest.mark.parametrize(
        "path",
        [
            "/webhooks/exotel/nowhere",
            "/webhooks/exotel/call-start",
            "/webhooks",
            "/webhooks/",
            "//webhooks/exotel/call-start",
            "/api/calls",
            "/api",
            "//api/calls",
        ],
    )
    def test_are_refused_and_never_redirected(self, ask, path, method):
        answer = ask(path, method)

        assert answer.status_code == 403
        assert "Location" not in answer.headers

    def test_are_told_to_use_https(self, ask):
        answer = ask("/api/calls")

        assert error_of(answer) == (403, "AUTHORIZATION_ERROR")
        assert answer.json["error"]["message"] == "This address requires HTTPS. Use a URL that begins with https://."

    def test_are_distinguished_from_a_page_with_the_same_prefix(self, ask):
        assert [ask(path).status_code for path in ("/apiary", "/webhooks-help", "/console/api")] == [301, 301, 301]


class TestHealth:
    @pytest.mark.parametrize("path", ["/health/live", "//health/live"])
    def test_answers_over_plain_http(self, ask, path):
        assert ask(path).status_code == 200

    def test_is_distinguished_from_a_page_with_the_same_prefix(self, ask):
        assert ask("/healthy").status_code == 301


class TestForwardedScheme:
    @pytest.mark.parametrize("peer", [PROXY, UNIX_SOCKET])
    def test_is_accepted_from_a_trusted_proxy(self, ask, peer):
        assert ask("/console", peer=peer, **FORGED).status_code == 200
        assert ask("/api/calls", peer=peer, **FORGED).status_code == 401

    def test_is_ignored_from_an_untrusted_peer(self, ask):
        plain, forged = ask("/console"), ask("/console", **FORGED)

        assert (forged.status_code, forged.headers["Location"]) == (301, "https://caly.example/console")
        assert (forged.status_code, forged.headers["Location"]) == (plain.status_code, plain.headers["Location"])
        assert ask("/webhooks/exotel/call-start", **FORGED).status_code == 403

    @pytest.mark.parametrize("scheme", ["http", "https, http", "", "ftp"])
    def test_is_one_word(self, ask, scheme):
        assert ask("/console", peer=PROXY, HTTP_X_FORWARDED_PROTO=scheme).status_code == 301

    def test_cannot_move_the_redirect_to_another_host(self, ask):
        forged = FORGED | {"HTTP_X_FORWARDED_PROTO": "http"}

        assert ask("/console", peer=PROXY, **forged).headers["Location"] == "https://caly.example/console"


class TestHost:
    @pytest.mark.parametrize("host", ["caly.example:8080", "127.0.0.1", "[2001:db8::1]:8080", "localhost"])
    def test_is_kept(self, ask, host):
        assert ask("/console", HTTP_HOST=host).headers["Location"] == f"https://{host}/console"

    def test_loses_the_port_of_plain_http(self, ask):
        assert ask("/console", HTTP_HOST="caly.example:80").headers["Location"] == "https://caly.example/console"

    @pytest.mark.parametrize(
        "host",
        [
            "",
            " ",
            "good@evil.example",
            "evil.example/path?",
            "evil.example#",
            "evil.example\\",
            "evil.example:port",
            "evil example",
            "evil.example\r\nSet-Cookie: a=b",
            "évil.example",
            "a,b",
        ],
    )
    def test_that_is_invalid_is_not_redirected(self, ask, host):
        answer = ask("/console", HTTP_HOST=host)

        assert error_of(answer) == (403, "AUTHORIZATION_ERROR")
        assert "Location" not in answer.headers

    def test_missing_does_not_disclose_the_listening_address(self, ask):
        answer = ask("/console", without="HTTP_HOST", SERVER_NAME="192.168.7.7")

        assert answer.status_code == 403
        assert "192.168.7.7" not in answer.text


class TestLocation:
    @pytest.mark.parametrize(
        ("path", "location"),
        [
            ("//evil.example/a", "/evil.example/a"),
            ("///evil.example", "/evil.example"),
            (".evil.example", "/.evil.example"),
            ("@evil.example", "/@evil.example"),
            ("/\\evil.example", "/%5Cevil.example"),
            ("/a//b", "/a//b"),
            ("/a\r\nSet-Cookie: a=b", "/a%0D%0ASet-Cookie:%20a=b"),
            ("/a?b#c%41", "/a%3Fb%23c%2541"),
            ("/नमस्ते".encode().decode("latin-1"), "/%E0%A4%A8%E0%A4%AE%E0%A4%B8%E0%A5%8D%E0%A4%A4%E0%A5%87"),
        ],
    )
    def test_has_only_the_quoted_path(self, ask, path, location):
        assert ask(path).headers["Location"] == f"https://caly.example{location}"

    @pytest.mark.parametrize(
        ("query", "location"),
        [
            ("a=1&a=2;b=%2F%0d%0a", "?a=1&a=2;b=%2F%0d%0a"),
            ("next=//evil.example/?x", "?next=//evil.example/?x"),
            ("a=\r\nb", "?a=%0D%0Ab"),
            ('a="<\xff>#', "?a=%22%3C%FF%3E%23"),
        ],
    )
    def test_has_the_query(self, ask, query, location):
        assert ask("/console", QUERY_STRING=query).headers["Location"] == f"https://caly.example/console{location}"

    @given(path=st.text(), query=st.binary())
    def test_is_a_url_of_this_host_for_every_path(self, ask, path, query):
        raw_path = "/pages/" + path
        answer = ask(raw_path.encode(errors="ignore").decode("latin-1"), QUERY_STRING=query.decode("latin-1"))

        location = answer.headers["Location"]
        assert location.isascii()
        assert location.isprintable()
        assert " " not in location
        assert location.startswith("https://caly.example/pages/")
        assert unquote_to_bytes(urlsplit(location).path) == raw_path.encode(errors="ignore")
        assert unquote_to_bytes(urlsplit(location).query) == unquote_to_bytes(query)


class TestRefusal:
    @pytest.mark.parametrize(("path", "status"), [("/console", 301), ("/api/calls", 403)])
    def test_is_logged_under_its_id_and_has_the_headers_of_all_answers(self, ask, capsys, path, status):
        answer = ask(path)

        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        (line,) = [line for line in lines if line["logger"].endswith("access_log")]
        assert (line["status"], line["requestId"]) == (status, answer.headers["X-Request-ID"])
        assert answer.headers["Cache-Control"] == "no-store"  # otherwise a browser keeps a wrong 301 permanently
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "Strict-Transport-Security" not in answer.headers


class TestDelivery:
    @pytest.fixture
    def settings(self, database_url):
        return Settings.from_env(PRODUCTION | {"DATABASE_URL": database_url})

    def test_over_plain_http_is_refused_audited_and_not_recorded(self, deliver, start, query):
        answer = deliver("call-start", **start)

        assert error_of(answer) == (403, "AUTHORIZATION_ERROR")
        assert query("SELECT count(*) FROM deliveries") == [(0,)]
        assert query(
            "SELECT resource_id, request_id, metadata->>'code' FROM audit_logs WHERE event_type = 'WEBHOOK_REJECTED'"
        ) == [("/webhooks/exotel/call-start", answer.headers["X-Request-ID"], "AUTHORIZATION_ERROR")]

    def test_over_https_is_accepted(self, client, tenant, start):
        answer = client.post(
            "/webhooks/exotel/call-start",
            base_url="https://caly.example",
            query_string={"key": tenant.key},
            data=start,
        )

        assert answer.status_code == 200


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_outside_production_plain_http_is_accepted(environment):
    app = create_app(Settings.from_env({"APP_ENV": environment, "DATABASE_URL": PRODUCTION["DATABASE_URL"]}))

    status = app.test_client().get("/nowhere").status_code

    app.extensions["caly"].close()
    assert status == 404
