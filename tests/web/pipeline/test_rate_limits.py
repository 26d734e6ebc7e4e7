from urllib.parse import parse_qs, urlsplit

import pytest

from calyapp.app import create_app
from calyapp.config import Settings
from calyapp.web.routing import Access, Profile

LIMITS = {"RATELIMIT_WEBHOOK": "3/minute", "RATELIMIT_API": "2/15 minutes"}


@pytest.fixture
def settings(database_url):
    return Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": database_url, **LIMITS})


@pytest.fixture
def read(app):
    """The answer of a route with the profile `api` to a peer."""
    app.add_url_rule("/read", "read", dict, access=Access.PUBLIC, limit=Profile.API)
    return lambda peer: app.test_client().get("/read", environ_base={"REMOTE_ADDR": peer})


def start(number: int, **overrides: str) -> dict[str, str]:
    return {"CallSid": f"s{number}", "From": "09876543210", "To": "08047112345", **overrides}


class TestProfile:
    def test_admits_requests_up_to_the_limit_and_reports_the_rest(self, read):
        answers = [read("203.0.113.9") for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
        assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"2"}

    def test_reports_when_to_try_again(self, read):
        *_, refused = [read("203.0.113.9") for _ in range(3)]

        body = refused.json["error"]
        assert body["code"] == "RATE_LIMIT_EXCEEDED"
        assert int(refused.headers["Retry-After"]) == body["retryAfter"]
        assert 1 <= body["retryAfter"] <= 900

    def test_counts_each_address_separately(self, read):
        assert [read(f"203.0.113.{n}").status_code for n in (1, 1, 2, 2, 1, 2)] == [200, 200, 200, 200, 429, 429]

    def test_counts_a_whole_ipv6_network_as_one(self, read):
        neighbours = [f"2001:db8:0:1::{n}" for n in (1, 2, 3)]

        assert [read(peer).status_code for peer in (*neighbours, "2001:db8:0:2::1")] == [200, 200, 429, 200]

    def test_cannot_be_evaded_with_forged_headers(self, app, read):
        for _ in range(2):
            read("203.0.113.9")

        forged = app.test_client().get(
            "/read", headers={"X-Forwarded-For": "198.51.100.7"}, environ_base={"REMOTE_ADDR": "203.0.113.9"}
        )

        assert forged.status_code == 429

    def test_does_not_apply_to_routes_without_a_limit(self, client):
        answers = [client.get("/health/live") for _ in range(20)]

        assert {answer.status_code for answer in answers} == {200}
        assert "X-RateLimit-Limit" not in answers[0].headers

    @pytest.mark.parametrize("profile", ["LOGIN", "API", "WEBHOOK", "UPLOAD"])
    def test_has_the_numbers_of_its_setting(self, database_url, profile):
        variables = {"APP_ENV": "testing", "DATABASE_URL": database_url, f"RATELIMIT_{profile}": "1/hour"}
        application = create_app(Settings.from_env(variables))
        limit = Profile(profile.lower())
        application.add_url_rule("/it", "it", dict, access=Access.PUBLIC, limit=limit)

        statuses = [application.test_client().get("/it").status_code for _ in range(2)]

        application.extensions["caly"].close()
        assert statuses == [200, 429]


def waiting(app) -> int:
    return app.extensions["caly"].journal.status().deferred


class TestDeliveries:
    def test_are_counted_by_client_and_route(self, deliver, app):
        starts = [deliver("call-start", **start(n)).status_code for n in range(4)]
        ends = [deliver("call-end", CallSid=f"s{n}").status_code for n in range(4)]

        assert starts == ends == [200, 200, 200, 200]
        assert waiting(app) == 2

    def test_over_the_limit_are_deferred_to_the_spool(self, deliver, app, query):
        answers = [deliver("call-start", **start(n)) for n in range(10)]
        before = query("SELECT count(*) FROM deliveries")
        app.extensions["caly"].replay.run_if_needed()

        assert (before, query("SELECT count(*) FROM deliveries")) == ([(3,)], [(10,)])
        in_answers = {parse_qs(urlsplit(answer.json["url"]).query)["callId"][0] for answer in answers}
        assert in_answers == {row[0] for row in query("SELECT id FROM calls")}

    def test_far_over_the_limit_are_refused(self, deliver, app):
        statuses = [deliver("call-end", CallSid=f"s{n}").status_code for n in range(32)]

        assert statuses == [200] * 30 + [429] * 2
        assert waiting(app) == 27

    def test_of_one_client_do_not_count_for_another(self, deliver, app):
        parts = app.extensions["caly"]
        other = parts.webhook_keys.mint(parts.clients.add("Other", []).id, 1)
        for n in range(4):
            deliver("call-start", **start(n))

        assert deliver("call-start", key=other, **start(9)).status_code == 200
        assert waiting(app) == 1

    def test_without_a_valid_key_are_counted_by_address(self, deliver):
        statuses = [deliver("call-end", key="cwk_wrong", CallSid="s").status_code for _ in range(4)]

        assert statuses == [401, 401, 401, 429]

    def test_with_a_valid_key_are_not_stopped_by_a_flood_from_the_same_address(self, deliver):
        for _ in range(5):
            deliver("call-end", key="cwk_wrong", CallSid="s")

        assert deliver("call-end", CallSid="s").status_code == 200

    def test_too_many_are_audited_once_a_window(self, deliver, query, tenant):
        for n in range(10):
            deliver("call-end", CallSid=f"s{n}")

        assert query(
            "SELECT client_id::text, severity, status, metadata FROM audit_logs WHERE event_type LIKE %s", "RATE%"
        ) == [
            (
                str(tenant.id),
                "MEDIUM",
                "failure",
                {"profile": "webhook", "limit": 3, "seconds": 60, "count": 1},
            )
        ]
        assert query("SELECT count(*) FROM audit_logs WHERE event_type = 'WEBHOOK_REJECTED'") == [(0,)]
