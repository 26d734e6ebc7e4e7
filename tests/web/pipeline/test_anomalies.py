import json
import logging
from io import BytesIO

import pytest

from calyapp import metrics
from calyapp.anomaly.rules import Pattern
from calyapp.app import create_app
from calyapp.config import Settings
from calyapp.web.pipeline import anomalies, body_limit

ATTACK = "x' or 1=1 --"


@pytest.fixture
def counted():
    """Returns the number of requests with the pattern since the test began."""

    def value(pattern: Pattern) -> float:
        return metrics.ANOMALIES.labels(pattern.value)._value.get()

    before = {pattern: value(pattern) for pattern in Pattern}
    return lambda pattern: value(pattern) - before[pattern]


@pytest.fixture
def warnings(caplog):
    """Pattern, place and count of each warning so far."""
    caplog.set_level(logging.WARNING, logger=anomalies.__name__)
    return lambda: [tuple(record.fields.values()) for record in caplog.records if record.name == anomalies.__name__]


@pytest.fixture
def audit_entries(app, query):
    """The audit entries about anomalies, after the timer writes them."""

    def read() -> list[tuple]:
        app.extensions["caly"].throttled_audit_log.close()
        return query(
            "SELECT client_id::text, severity, resource_id, metadata FROM audit_logs"
            " WHERE event_type = 'SECURITY_VIOLATION' ORDER BY created_at, id"
        )

    return read


class TestAttack:
    def test_is_answered_like_any_other_delivery(self, deliver, start):
        assert deliver("call-start", **start, CustomField=ATTACK).status_code == 200

    def test_logs_a_warning_with_pattern_and_place(self, deliver, warnings):
        deliver("call-end", CallSid="s1", CustomField=ATTACK)

        assert warnings() == [("sql_injection", "form.CustomField", 1)]

    def test_is_counted_by_its_pattern(self, deliver, counted):
        deliver("call-end", CallSid="s1", CustomField=ATTACK)

        assert counted(Pattern.SQL_INJECTION) == 1
        assert counted(Pattern.XSS) == 0

    def test_is_audited_without_what_was_sent(self, deliver, tenant, audit_entries, query):
        deliver("call-end", CallSid="s1", CustomField=ATTACK)

        assert audit_entries() == [
            (
                str(tenant.id),
                "HIGH",
                "/webhooks/exotel/call-end",
                {"pattern": "sql_injection", "place": "form.CustomField", "count": 1},
            )
        ]
        entries = query("SELECT row_to_json(audit_logs)::text FROM audit_logs WHERE event_type = 'SECURITY_VIOLATION'")
        assert ATTACK not in str(entries)

    def test_is_audited_after_the_delivery_is_answered(self, deliver, query):
        deliver("call-end", CallSid="s1", CustomField=ATTACK)

        assert query("SELECT count(*) FROM audit_logs WHERE event_type = 'SECURITY_VIOLATION'") == [(0,)]

    def test_that_is_repeated_is_one_entry_for_client_and_pattern(self, deliver, audit_entries):
        for number in range(20):
            deliver("call-end", CallSid=f"s{number}", CustomField=ATTACK)
        deliver("call-end", CallSid="s", CustomField="<script>alert(1)</script>")

        assert [metadata["count"] for *_, metadata in audit_entries()] == [20, 1]

    def test_that_is_repeated_is_logged_once_an_interval(self, deliver, warnings, audit_entries):
        for number in range(20):
            deliver("call-end", CallSid=f"s{number}", CustomField=ATTACK)
        audit_entries()
        deliver("call-end", CallSid="s", CustomField=ATTACK)

        assert warnings() == [("sql_injection", "form.CustomField", 1)] * 2

    def test_in_a_name_is_reported_without_the_name(self, deliver, warnings):
        deliver("call-end", CallSid="s1", **{ATTACK: "1"})

        assert warnings() == [("sql_injection", "form.*", 1)]

    def test_hides_a_number_in_the_name_of_a_field(self, deliver, warnings):
        deliver("call-end", CallSid="s1", **{"9811122233": ATTACK})

        assert warnings() == [("sql_injection", "form.*********33", 1)]


class TestPlace:
    def test_is_a_member_of_json(self, client, tenant, warnings):
        body = {"CallSid": "s1", "Legs": [{"Status": "busy"}, {"Status": ATTACK}]}
        client.post("/webhooks/exotel/call-end", query_string={"key": tenant.key}, json=body)

        assert warnings() == [("sql_injection", "json.Legs[1].Status", 1)]

    def test_is_the_first_of_repeated_names(self, client, tenant, warnings):
        body = '{"CallSid": "s1", "a": ' + json.dumps(ATTACK) + ', "a": "b"}'
        client.post(
            "/webhooks/exotel/call-end", query_string={"key": tenant.key}, data=body, content_type="application/json"
        )

        assert warnings() == [("sql_injection", "json.a", 1)]

    def test_is_a_parameter_of_the_query(self, client, tenant, warnings):
        client.get("/webhooks/exotel/call-end", query_string={"key": tenant.key, "CallSid": "s1", "q": ATTACK})

        assert warnings() == [("sql_injection", "query.q", 1)]

    @pytest.mark.parametrize("sent", [ATTACK, "x＇ or 1=1 --".encode().decode("latin-1")])
    def test_is_a_header(self, client, tenant, warnings, sent):
        client.get(
            "/webhooks/exotel/call-end", query_string={"key": tenant.key, "CallSid": "s1"}, headers={"X-Note": sent}
        )

        assert warnings() == [("sql_injection", "header.x-note", 1)]

    def test_is_the_path_of_the_api(self, client, user, warnings):
        client.get(f"/api/calls/{ATTACK}", headers=user("admin"))

        assert warnings() == [("sql_injection", "path", 1)]

    def test_is_a_path_without_a_route(self, client, warnings):
        client.get(f"/webhooks/exotel/{ATTACK}?q={ATTACK}")

        assert warnings() == [("sql_injection", "path", 2)]


class TestSeverity:
    """So that `severity = 'CRITICAL'` in the audit log finds attacks."""

    ATTACKS = (ATTACK, "<script>alert(1)</script>", "127.0.0.1; cat /etc/passwd")

    @pytest.fixture
    def severities(self, audit_entries):
        return lambda: {severity for _, severity, *_ in audit_entries()}

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_is_high_in_a_delivery_with_a_key(self, deliver, severities, attack):
        deliver("call-end", CallSid="s1", CustomField=attack)

        assert severities() == {"HIGH"}

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_is_critical_in_a_delivery_that_is_accepted_without_a_key(self, deliver, start, severities, attack):
        assert deliver("call-start", key=None, **start, CustomField=attack).status_code == 200

        assert severities() == {"CRITICAL"}

    @pytest.mark.parametrize("attack", ATTACKS)
    @pytest.mark.parametrize("role", ["admin", "client"])
    def test_is_critical_through_the_api(self, client, tenant, user, severities, role, attack):
        client.get(
            "/api/calls", query_string={"callSid": attack}, headers=user(role, tenant.id if role == "client" else None)
        )

        assert severities() == {"CRITICAL"}

    @pytest.mark.parametrize("attack", ATTACKS)
    @pytest.mark.parametrize("path", ["/webhooks/exotel/nowhere", "/api/nowhere", "/nowhere.php", "/"])
    def test_is_critical_on_a_path_without_a_route(self, client, severities, path, attack):
        client.get(path, query_string={"q": attack})

        assert severities() == {"CRITICAL"}

    def test_of_an_attack_is_not_lowered_by_a_later_match_of_the_same_client(
        self, client, deliver, tenant, user, severities
    ):
        client.get("/api/calls", query_string={"callSid": ATTACK}, headers=user("client", tenant.id))
        deliver("call-end", CallSid="s1", CustomField=ATTACK)

        assert severities() == {"CRITICAL", "HIGH"}

    def test_is_lower_for_patterns_that_are_not_attacks(self, client, user, deliver, severities):
        deliver("call-end", CallSid="s1", CustomField="word " * 20_000)
        client.get("/api/calls", headers={**user("admin"), "User-Agent": ""})

        assert severities() == {"MEDIUM", "LOW"}


class TestRequest:
    def test_without_a_user_agent_is_reported(self, client, user, warnings):
        client.get("/api/calls", headers={**user("admin"), "User-Agent": ""})

        assert warnings() == [("missing_user_agent", "header.user-agent", 1)]

    def test_without_a_user_agent_is_reported_for_a_delivery_without_a_key(self, client, tenant, warnings):
        client.get(
            "/webhooks/exotel/call-end", query_string={"CallSid": "s1", "To": tenant.number}, headers={"User-Agent": ""}
        )

        assert warnings() == [("missing_user_agent", "header.user-agent", 1)]

    def test_without_a_user_agent_is_not_reported_for_a_delivery_with_a_key(
        self, client, tenant, warnings, counted, audit_entries
    ):
        client.get(
            "/webhooks/exotel/call-end",
            query_string={"key": tenant.key, "CallSid": "s1"},
            headers={"User-Agent": ""},
        )

        assert (warnings(), counted(Pattern.MISSING_USER_AGENT), audit_entries()) == ([], 0, [])

    def test_too_large_is_reported_and_answered(self, deliver, warnings):
        assert deliver("call-end", CallSid="s1", CustomField="word " * 20_000).status_code == 200
        assert warnings() == [("oversized_request", "request", 1)]

    @pytest.mark.parametrize(("peer", "warned"), [("203.0.113.9", 2), ("127.0.0.1", 0)])
    def test_with_forwarding_headers_is_reported_for_untrusted_peers(self, app, tenant, warnings, peer, warned):
        app.test_client().get(
            "/webhooks/exotel/call-end",
            query_string={"key": tenant.key, "CallSid": "s1"},
            headers={"X-Forwarded-Host": "evil.example", "X-Original-URL": "/admin"},
            environ_base={"REMOTE_ADDR": peer},
        )

        assert warnings() == ([("suspicious_headers", "header.x-original-url", warned)] if warned else [])


class TestInspection:
    def test_ignores_health_checks(self, client, warnings):
        client.get("/health/ready", query_string={"q": ATTACK})

        assert warnings() == []

    def test_ignores_a_missing_user_agent_without_a_route(self, client, warnings):
        client.get("/", headers={"User-Agent": ""})

        assert warnings() == []

    def test_does_not_inspect_refused_requests(self, app, deliver, warnings):
        deliver("call-end", key="cwk_wrong", CallSid="s1", CustomField=ATTACK)

        assert warnings() == []

    def test_does_not_inspect_the_webhook_key(self, client, tenant, warnings):
        client.get("/webhooks/exotel/call-end", query_string={"key": tenant.key, "CallSid": "s1"})

        assert warnings() == []

    @pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/plain"])
    def test_leaves_a_body_that_cannot_be_read_to_the_view(self, client, tenant, kind, warnings):
        answer = client.post(
            "/webhooks/exotel/call-end", query_string={"key": tenant.key}, data=b"{", content_type=kind
        )

        assert (answer.status_code, answer.json["error"]["code"]) == (400, "VALIDATION_ERROR")
        assert warnings() == []

    def test_does_not_read_a_body_that_no_view_reads(self, client, tenant):
        body = BytesIO(b"CallSid=s1")
        client.open(
            "/webhooks/exotel/call-end",
            method="HEAD",
            query_string={"key": tenant.key},
            input_stream=body,
            content_length=10,
            content_type="application/x-www-form-urlencoded",
        )

        assert body.tell() == 0

    def test_does_not_parse_an_upload_as_json(self, client, user):
        size = body_limit.MAX_BYTES + 1
        body = BytesIO(b" " * size)
        client.post(
            "/api/calls/import",
            headers=user("admin"),
            input_stream=body,
            content_length=size,
            content_type="application/json",
        )

        assert body.tell() == 0

    def test_logs_its_own_failure_and_lets_the_request_pass(self, deliver, caplog, monkeypatch):
        def fail(_request):
            raise RuntimeError(ATTACK)

        monkeypatch.setattr(anomalies, "inspect", fail)
        before = metrics.ANOMALY_FAILURES._value.get()

        assert deliver("call-end", CallSid="s1").status_code == 200
        assert metrics.ANOMALY_FAILURES._value.get() == before + 1
        assert "a request could not be inspected" in caplog.messages
        assert ATTACK not in caplog.text


def test_every_pattern_is_exported_as_zero_from_the_start():
    create_app(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"}))

    text = metrics.prometheus_text().decode()
    assert all(f'caly_anomalies_total{{pattern="{pattern}"}}' in text for pattern in Pattern)
