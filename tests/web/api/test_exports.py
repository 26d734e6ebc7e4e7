"""Exports through the application. tests/system tests them over a real connection."""

import csv
import gzip
import io
import json
from datetime import UTC, datetime

import pytest
import sample_records

from calyapp.web.api import exports

COLUMNS = [
    *("id", "createdAt", "eventType", "severity", "status", "clientId", "callId", "userId", "description"),
    *("resource", "resourceId", "changes", "ipAddress", "userAgent", "requestId", "metadata"),
]

EXPORTED = (
    "SELECT client_id::text, metadata->>'format', metadata->'filters', metadata->'principal'->>'role' "
    "FROM audit_logs WHERE event_type = 'DATA_EXPORTED' ORDER BY created_at"
)


@pytest.fixture
def filled(app, query):
    """Twelve audit entries of one client, and the ids of this and a second client."""
    sample_records.fill(query, calls=3)
    other = app.extensions["caly"].clients.add("Banyan Dental", []).id
    ((ours,),) = query("SELECT id::text FROM clients WHERE name LIKE 'नमस्ते%%'")
    return ours, str(other)


@pytest.fixture
def ask(client):
    """`ask(headers, encoding, **query)`: the answer."""

    def get(headers, encoding="identity", **query):
        path = "/api/audit/export"
        headers = {**headers, "Accept-Encoding": encoding}
        return client.get(path, headers=headers, query_string=query, buffered=True)

    return get


def entries(answer) -> list[dict]:
    return [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]


class TestExport:
    def test_equals_the_list_over_several_pages(self, client, ask, user, filled, monkeypatch):
        monkeypatch.setattr(exports, "PAGE", 5)
        auditor = user("auditor")
        listed = client.get(f"/api/audit/events?clientId={filled[0]}&limit=1000", headers=auditor).get_json()["items"]

        exported = entries(ask(auditor, clientId=filled[0], until="2100-01-01T00:00:00Z"))

        themselves = ("DATA_EXPORTED", "DATA_ACCESSED")
        assert len(listed) == 12
        assert [entry for entry in exported if entry["eventType"] not in themselves] == listed

    def test_as_csv_has_a_header_and_the_same_cells(self, ask, user, filled):
        admin = user("admin")
        only = {"eventType": "DELIVERY_RECEIVED"}

        answer = ask(admin, format="csv", **only)

        header, *rows = csv.reader(io.StringIO(answer.get_data(as_text=True), newline=""), strict=True)
        assert header == COLUMNS
        told = [{name: json.loads(cell) if cell[:1] == "{" else cell or None for name, cell in
                 zip(header, row, strict=True)} for row in rows]  # fmt: skip
        assert told == entries(ask(admin, **only))

    @pytest.mark.parametrize("form", ["ndjson", "csv"])
    def test_without_entries_is_a_complete_file(self, ask, user, filled, form):
        answer = ask(user("client", filled[1]), format=form, eventType="CALL_ENDED")

        assert (answer.status_code, answer.get_data(as_text=True)) == (
            200,
            ",".join(COLUMNS) + "\r\n" if form == "csv" else "",
        )

    @pytest.mark.parametrize(
        ("form", "content_type"),
        [("ndjson", "application/x-ndjson"), ("csv", "text/csv; charset=utf-8; header=present")],
    )
    def test_is_a_file_with_a_name(self, ask, user, form, content_type):
        answer = ask(user("admin"), format=form)

        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["Content-Disposition"].endswith(f'caly-audit-{datetime.now(UTC):%Y-%m-%d}.{form}"')
        assert answer.headers["Vary"] == "Accept-Encoding"

    @pytest.mark.parametrize(
        ("accepted", "is_packed"),
        [
            ("gzip", True),
            ("br, gzip;q=0.5", True),
            ("*", True),
            ("gzip;q=0", False),
            ("*, gzip;q=0", False),
            ("identity", False),
            ("", False),
        ],
    )
    def test_is_compressed_if_the_client_accepts_it(self, ask, user, filled, accepted, is_packed):
        answer = ask(user("client", filled[0]), accepted, eventType="DELIVERY_RECEIVED")

        assert answer.headers.get("Content-Encoding") == ("gzip" if is_packed else None)
        body = gzip.decompress(answer.data) if is_packed else answer.data
        assert len(body.splitlines()) == 12

    def test_reports_all_errors_together(self, ask, user):
        wrong = {"limit": 5, "cursor": "x", "format": "xlsx", "severity": "lost"}

        answer = ask(user("admin"), **wrong)

        assert (answer.status_code, set(answer.json["error"]["details"])) == (400, set(wrong))

    def test_is_audited_before_its_first_byte(self, client, user, filled, query):
        asked = f"/api/audit/export?clientId={filled[0]}&format=csv&severity=LOW"

        answer = client.get(asked, headers=user("auditor"), buffered=False)

        filters = {"client_id": filled[0], "severity": "LOW"}
        assert query(EXPORTED) == [(filled[0], "csv", filters, "auditor")]
        answer.close()

    def test_of_all_clients_is_audited_without_a_client(self, ask, user, query):
        ask(user("admin"))

        assert query(EXPORTED) == [(None, "ndjson", {}, "admin")]

    def test_exports_nothing_for_head(self, client, user, query):
        admin = user("admin")

        answers = [client.head("/api/audit/export", headers=admin, buffered=True) for _ in range(3)]

        assert [(answer.status_code, answer.data) for answer in answers] == [(200, b"")] * 3
        assert query(EXPORTED) == []

    @pytest.mark.parametrize("role", ["client", "auditor"])
    def test_contains_nothing_of_another_client(self, ask, user, filled, role):
        reader = user(role, filled[1])

        assert ask(reader, clientId=filled[0]).data == b""
        assert {entry["clientId"] for entry in entries(ask(reader))} == {filled[1]}

    def test_runs_two_at_a_time(self, client, user):
        first, second, third = user("admin"), user("auditor"), user("admin")
        path = "/api/audit/export"

        running = [client.get(path, headers=headers, buffered=False) for headers in (first, second)]
        refused = client.get(path, headers=third)
        running[0].close()
        again = client.get(path, headers=third)
        running[1].close()

        assert [refused.status_code, again.status_code] == [429, 200]
        assert refused.headers["Retry-After"] == "30"
        assert refused.json["error"]["message"].startswith("You already have a running export")

    def test_of_one_client_does_not_block_another(self, client, user, filled):
        ours, theirs = ([user(role, one) for role in ("client", "auditor")] for one in filled)
        path = "/api/audit/export"

        running = client.get(path, headers=ours[0], buffered=False)
        second = client.get(path, headers=ours[1])
        of_others = client.get(path, headers=theirs[0])
        running.close()

        assert [second.status_code, of_others.status_code] == [429, 200]

    def test_releases_its_place_if_the_audit_log_cannot_be_written(self, client, user, query):
        admin = user("admin")
        query("ALTER TABLE audit_logs RENAME TO elsewhere")

        failed = [client.get("/api/audit/export", headers=admin).status_code for _ in range(3)]
        query("ALTER TABLE elsewhere RENAME TO audit_logs")

        assert failed == [500] * 3
        assert client.get("/api/audit/export", headers=admin).status_code == 200

    @pytest.mark.parametrize(
        ("protocol", "via", "status"),
        [
            ("HTTP/1.0", None, 400),
            ("HTTP/1.1", "HTTP/1.0 caly", 400),
            ("HTTP/1.1", "2 edge, 1.0 office", 400),
            ("HTTP/1.1", "HTTP/2.0 edge, 1.1 1.0", 200),
        ],
    )
    def test_is_refused_over_http_1_0(self, client, user, protocol, via, status):
        headers = {**user("admin"), **({"Via": via} if via else {})}

        answer = client.get("/api/audit/export", headers=headers, environ_overrides={"SERVER_PROTOCOL": protocol})

        assert answer.status_code == status
