import re

import pytest
from flask import session

from calyapp.app import create_app
from calyapp.config import Settings
from calyapp.errors import RateLimitError
from calyapp.web.pipeline.body_limit import MAX_BYTES
from calyapp.web.routing import Access

HALF_A_YEAR_SECONDS = 15_768_000
UNTRUSTED = {"REMOTE_ADDR": "203.0.113.9"}

# Requests that get each status: method, path and further options.
REQUESTS = {
    200: ("GET", "/health/live", {}),
    301: ("GET", "/moved", {}),
    400: ("POST", "/webhooks/exotel/call-end", {"data": b"{", "content_type": "application/json"}),
    401: ("GET", "/health/detailed", {}),
    404: ("GET", "/nowhere", {}),
    405: ("PUT", "/health/live", {}),
    413: ("POST", "/webhooks/exotel/call-end", {"data": b"x" * (MAX_BYTES + 1)}),
    429: ("GET", "/too-often", {}),
    500: ("GET", "/failing", {}),
}


def refuse():
    raise RateLimitError(retry_after=1)


def remember():
    session["user"] = "somebody"
    return ""


@pytest.fixture(scope="module")
def asked():
    """`asked(method, path, options, scheme)`: the answer to an untrusted peer. Needs no database."""
    app = create_app(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}))
    app.secret_key = "of this test"
    app.add_url_rule("/moved", "moved", lambda: ("", 301, {"Location": "/health/live"}), access=Access.PUBLIC)
    app.add_url_rule("/too-often", "too_often", refuse, access=Access.PUBLIC)
    app.add_url_rule("/failing", "failing", lambda: 1 / 0, access=Access.PUBLIC)
    app.add_url_rule("/remember", "remember", remember, access=Access.PUBLIC)

    def ask(method: str, path: str, options: dict, scheme: str = "https"):
        whole = options | {"base_url": f"{scheme}://caly.example", "environ_base": UNTRUSTED}
        return app.test_client().open(path, method=method, **whole)

    yield ask
    app.extensions["caly"].close()


@pytest.fixture(params=REQUESTS, scope="module")
def answer(asked, request):
    """An answer of each status, over HTTPS."""
    answer = asked(*REQUESTS[request.param])
    assert answer.status_code == request.param
    return answer


@pytest.fixture
def content_policy(answer) -> dict[str, str]:
    """The directives of the Content-Security-Policy."""
    directives = [
        directive.strip().partition(" ") for directive in answer.headers["Content-Security-Policy"].split(";")
    ]
    return {name: sources for name, _, sources in directives}


@pytest.fixture
def cookie(asked) -> set[str]:
    """The attributes of the session cookie."""
    answer = asked("GET", "/remember", {})
    return set(answer.headers["Set-Cookie"].split("; ")[1:])


def test_every_answer_has_exactly_these(answer):
    of_other_layers = re.compile(
        r"Content-(Type|Length)|X-Request-ID|Location|Allow|WWW-Authenticate|Retry-After|X-RateLimit-.*"
    )

    assert {name: value for name, value in answer.headers if not of_other_layers.fullmatch(name)} == {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), clipboard-read=(), "
        "clipboard-write=(), cross-origin-isolated=(), display-capture=(), encrypted-media=(), fullscreen=(), "
        "gamepad=(), geolocation=(), gyroscope=(), hid=(), idle-detection=(), keyboard-map=(), local-fonts=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), "
        "screen-wake-lock=(), serial=(), sync-xhr=(), unload=(), usb=(), web-share=(), xr-spatial-tracking=()",
        "Referrer-Policy": "no-referrer",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
        "X-Content-Type-Options": "nosniff",
        "X-DNS-Prefetch-Control": "off",
        "X-Frame-Options": "DENY",
        "X-Permitted-Cross-Domain-Policies": "none",
        "X-XSS-Protection": "0",
    }


def test_no_header_comes_twice(answer):
    names = [name.lower() for name, _ in answer.headers]

    assert len(names) == len(set(names))


class TestStrictTransport:
    """RFC 6797: over plain HTTP anyone could have set the header."""

    @pytest.mark.parametrize("status", REQUESTS)
    def test_is_not_required_by_an_answer_over_plain_http(self, asked, status):
        answer = asked(*REQUESTS[status], "http")

        assert "Strict-Transport-Security" not in answer.headers

    def test_is_not_required_because_an_untrusted_peer_claims_https(self, asked):
        answer = asked("GET", "/health/live", {"headers": {"X-Forwarded-Proto": "https"}}, "http")

        assert "Strict-Transport-Security" not in answer.headers

    def test_is_required_if_a_trusted_proxy_reports_https(self, client):
        answer = client.get("/health/live", headers={"X-Forwarded-Proto": "https"})

        assert "Strict-Transport-Security" in answer.headers


class TestOwaspList:
    """OWASP Secure Headers Project: headers to send, and headers to omit."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Cross-Origin-Embedder-Policy", "require-corp"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-DNS-Prefetch-Control", "off"),
            ("X-Frame-Options", "DENY"),
            ("X-Permitted-Cross-Domain-Policies", "none"),
        ],
    )
    def test_has_this_value(self, answer, name, value):
        assert answer.headers[name] == value

    def test_keeps_answers_out_of_caches(self, answer):
        assert answer.cache_control.no_store

    def test_disables_features_of_the_browser(self, answer):
        features = answer.headers["Permissions-Policy"].split(", ")

        assert {"camera=()", "geolocation=()", "microphone=()", "payment=()", "usb=()"} <= set(features)
        assert all(feature.endswith("=()") for feature in features)

    def test_disables_the_filter_of_old_browsers(self, answer):
        assert answer.headers["X-XSS-Protection"] == "0"

    @pytest.mark.parametrize("name", ["Expect-CT", "Feature-Policy", "Pragma", "Public-Key-Pins", "X-Download-Options"])
    def test_has_no_obsolete_header(self, answer, name):
        assert name not in answer.headers

    @pytest.mark.parametrize(
        "name", ["Server", "X-Powered-By", "X-AspNet-Version", "X-Framework", "X-Generator", "X-Runtime", "X-Version"]
    )
    def test_does_not_disclose_its_software(self, answer, name):
        assert name not in answer.headers

    def test_discloses_no_version(self, answer):
        assert not [value for _, value in answer.headers if re.search(r"\d\.\d|flask|python|werkzeug", value.lower())]


class TestObservatory:
    """The rules of MDN's HTTP Observatory, each in its strictest form."""

    def test_content_policy_allows_nothing_by_default(self, content_policy):
        assert content_policy["default-src"] == "'none'"

    def test_content_policy_has_nothing_unsafe(self, answer):
        assert "unsafe" not in answer.headers["Content-Security-Policy"]

    def test_content_policy_names_no_other_origin_and_no_scheme(self, content_policy):
        assert set(content_policy.values()) <= {"'none'", "'self'"}

    def test_content_policy_runs_no_script_and_no_plugin(self, content_policy):
        assert not {"script-src", "script-src-elem", "script-src-attr", "object-src"} & set(content_policy)

    def test_content_policy_refuses_frames(self, content_policy):
        assert content_policy["frame-ancestors"] == "'none'"

    def test_content_policy_keeps_the_base_of_links(self, content_policy):
        assert content_policy["base-uri"] == "'none'"

    def test_content_policy_restricts_forms_to_this_origin(self, content_policy):
        assert content_policy["form-action"] == "'self'"

    def test_content_policy_is_enforced_and_not_only_reported(self, answer):
        assert "Content-Security-Policy-Report-Only" not in answer.headers

    def test_cookie_of_the_session_is_secure(self, cookie):
        assert "Secure" in cookie

    def test_cookie_of_the_session_is_hidden_from_scripts(self, cookie):
        assert "HttpOnly" in cookie

    def test_cookie_of_the_session_is_not_sent_when_another_site_posts(self, cookie):
        assert cookie & {"SameSite=Lax", "SameSite=Strict"}

    def test_cookie_of_the_session_is_only_for_this_host(self, cookie):
        assert not [attribute for attribute in cookie if attribute.startswith("Domain")]

    def test_other_origins_are_allowed_nowhere(self, answer):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]

    def test_other_origins_are_allowed_nowhere_by_a_preflight(self, asked):
        asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

        answer = asked("OPTIONS", "/webhooks/exotel/call-start", {"headers": asking})

        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]

    def test_referrer_is_private(self, answer):
        assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin", "strict-origin")

    def test_strict_transport_lasts_at_least_half_a_year(self, answer):
        (seconds,) = re.findall(r"max-age=(\d+)", answer.headers["Strict-Transport-Security"])

        assert int(seconds) >= HALF_A_YEAR_SECONDS

    def test_strict_transport_meets_the_preload_requirements(self, answer):
        assert {"includeSubDomains", "preload"} <= set(answer.headers["Strict-Transport-Security"].split("; "))

    def test_types_are_not_guessed(self, answer):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def test_frames_are_refused_to_old_browsers_too(self, answer):
        assert answer.headers["X-Frame-Options"] == "DENY"

    def test_other_sites_cannot_embed_it(self, answer):
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_cookie_of_the_session_is_secure_before_the_first_request(app):
    assert app.config["SESSION_COOKIE_SECURE"]
