import json
from collections import Counter
from datetime import timedelta

import pytest

from calyapp import clock
from calyapp.app import create_app
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.config import Settings
from calyapp.db import queries
from calyapp.spool.journal import Lane

UNREACHABLE = "postgresql://caly@127.0.0.1:1/caly"


@pytest.fixture
def lonely():
    """A test client of a service whose database is away."""
    environment = {"APP_ENV": "testing", "DATABASE_URL": UNREACHABLE}
    application = create_app(Settings.from_env(environment))
    yield application.test_client()
    application.extensions["caly"].close()


class TestLive:
    def test_needs_no_database(self, client):
        with queries.tallied() as tally:
            answer = client.get("/health/live")

        assert (answer.status_code, answer.json["status"], tally.count) == (200, "alive", 0)

    def test_answers_while_the_database_is_away(self, lonely):
        assert lonely.get("/health/live").status_code == 200


class TestReady:
    def test_is_healthy(self, client):
        answer = client.get("/health/ready")

        assert answer.status_code == 200
        assert answer.json["status"] == "healthy"
        assert answer.json["checks"] == {name: {"status": "healthy"} for name in ("database", "environment", "spool")}

    def test_is_degraded_while_the_database_is_away_and_does_not_show_the_reason(self, lonely):
        answer = lonely.get("/health/ready")

        assert (answer.status_code, answer.json["status"]) == (200, "degraded")
        assert answer.json["checks"]["database"] == {"status": "degraded"}
        assert "127.0.0.1" not in answer.text

    def test_is_unhealthy_while_neither_database_nor_spool_accepts_a_delivery(self, lonely, tmp_path):
        (tmp_path / "var").write_text("a file where the spool's folder should be")

        answer = lonely.get("/health/ready")

        assert (answer.status_code, answer.json["status"]) == (503, "unhealthy")

    def test_is_degraded_without_a_spool(self, client, tmp_path):
        (tmp_path / "var").write_text("a file where the spool's folder should be")

        answer = client.get("/health/ready")

        assert (answer.status_code, answer.json["checks"]["spool"]) == (200, {"status": "degraded"})

    @pytest.mark.parametrize("ahead", ["0 months", "1 month"])
    def test_warns_of_a_missing_partition(self, client, query, ahead):
        ((partition,),) = query("SELECT to_char(now() + %s::interval, '\"audit_logs_\"YYYY_MM')", ahead)
        query(f"DROP TABLE {partition}")

        answer = client.get("/health/ready")

        assert (answer.status_code, answer.json["checks"]["database"]) == (200, {"status": "degraded"})


class TestLongWait:
    def test_degrades_readiness_although_the_database_is_available(self, app, client):
        arrived_at = clock.now() - timedelta(seconds=70)
        app.extensions["caly"].journal.append(b"{}", client_id=None, lane=Lane.AWAY, arrived_at=arrived_at)

        ready, detailed = client.get("/health/ready"), client.get("/health/detailed")

        assert (ready.status_code, ready.json["status"]) == (200, "degraded")
        assert ready.json["checks"] == {
            "database": {"status": "healthy"},
            "environment": {"status": "healthy"},
            "spool": {"status": "degraded"},
        }
        assert detailed.json["checks"]["spool"]["reason"].startswith("deliveries waiting: 1, the oldest for 7")


class TestDetailed:
    def test_reports_each_check_with_its_duration(self, client):
        answer = client.get("/health/detailed").json

        assert set(answer["checks"]) == {
            "database",
            "environment",
            "spool",
            "encryption",
            "migrations",
            "memory",
            "disk",
            "pool",
            "backup",
            "vulnerability scan",
            "limits storage",
        }
        assert all(check["responseTime"] >= 0 for check in answer["checks"].values())
        assert answer["checks"]["migrations"]["current"] == answer["checks"]["migrations"]["head"]
        assert answer["version"]
        assert answer["uptimeSeconds"] >= 0

    def test_is_not_degraded_by_optional_tasks_that_never_ran(self, client):
        answer = client.get("/health/detailed").json

        assert answer["status"] == "healthy"
        assert answer["checks"]["vulnerability scan"]["status"] == "not scanned"
        assert answer["checks"]["backup"]["status"] == "not backed up"

    def test_reports_reason_and_remedy_of_a_failed_check(self, lonely):
        checks = lonely.get("/health/detailed").json["checks"]

        assert checks["database"]["reason"].startswith("PostgreSQL cannot be reached")
        assert all(bool(check["reason"]) == (check["status"] == "degraded") for check in checks.values())
        assert all(check["remedy"] for check in checks.values() if check["reason"])
        assert checks["memory"]["reason"] is None

    def test_reports_a_failed_backup(self, app, client):
        entry = Entry.now(EventType.BACKUP_FAILED, "Backup failed", metadata={"reason": "No room"})
        audit_log.write(app.extensions["caly"].database.records, entry)

        check = client.get("/health/detailed").json["checks"]["backup"]

        assert (check["status"], check["reason"]) == ("degraded", "the last backup failed: No room")


class TestMetrics:
    def test_count_requests_and_deliveries(self, client, deliver, start):
        before = client.get("/health/metrics").json
        deliver("call-start", **start)
        deliver("call-start", **start)
        deliver("call-start")

        after = client.get("/health/metrics").json

        def counted(route: str, result: str) -> int:
            return after["deliveries"][route].get(result, 0) - before["deliveries"].get(route, {}).get(result, 0)

        assert [counted("call-start", result) for result in ("new", "repeat", "rejected")] == [1, 1, 1]
        assert after["requests"]["total"] - before["requests"]["total"] == 4
        assert after["requests"]["byStatus"]["4xx"] - before["requests"]["byStatus"]["4xx"] == 1

    def test_contain_the_metrics_of_the_catalogue(self, client, deliver, start):
        def series() -> Counter[str]:
            lines = client.get("/health/metrics?format=prometheus").text.splitlines()
            return Counter(
                {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}
            )

        before = series()
        deliver("call-start", **start)
        deliver("call-end", CallSid="sid-1", CallStatus="completed", CallDuration="61")
        client.post("/api/auth/login", json={"email": "nobody@example.com", "password": "no lamps by the ghat"})
        after = series()
        grown = {name for name in after if after[name] > before[name]}

        assert (
            after['caly_calls_ended_total{outcome="answered"}'] - before['caly_calls_ended_total{outcome="answered"}']
            == 1
        )
        assert after["caly_login_failures_total"] - before["caly_login_failures_total"] == 1
        assert grown >= {
            'caly_rate_limit_hits_total{profile="webhook"}',
            'caly_rate_limit_hits_total{profile="login"}',
            'caly_db_statement_seconds_count{statement="record_delivery"}',
            'caly_db_connection_wait_seconds_count{pool="ingest"}',
        }

    @pytest.mark.parametrize(
        ("options", "is_text"),
        [
            ({}, False),
            ({"headers": {"Accept": "*/*"}}, False),
            ({"query_string": {"format": "prometheus"}}, True),
            ({"headers": {"Accept": "text/plain;version=0.0.4"}}, True),
            ({"headers": {"Accept": "application/openmetrics-text;q=0.9,text/plain;q=0.5,*/*;q=0.1"}}, True),
        ],
    )
    def test_are_text_for_prometheus_and_json_for_others(self, client, options, is_text):
        answer = client.get("/health/metrics", **options)

        assert answer.content_type.startswith("text/plain" if is_text else "application/json")
        assert ("# TYPE caly_http_requests_total counter" in answer.text) == is_text
        if not is_text:
            json.loads(answer.text)
