"""The auditor of the chaos test notices every kind of fault: each is put into a real database that was faultless."""

import itertools
import json
from dataclasses import replace
from random import Random

import pytest
from reconciliation import Reconciliation
from traffic import Attempt, deliveries

STREAM_BASE_URL = "ws://localhost:9000"


@pytest.fixture
def attempts(app, client) -> list[Attempt]:
    """Deliveries of several calls, a heartbeat and some repeats among them, each answered."""
    command = ["caly", "clients", "add", "--name", "Asha", "--number", "+918047112345", "--json"]
    tenant = json.loads(app.test_cli_runner().invoke(args=command).stdout)
    return [_sent(client, delivery) for delivery in itertools.islice(deliveries([tenant], Random(3)), 150)]


@pytest.fixture
def findings(query, attempts):
    """`findings(attempts)`: what the auditor says who remembers these, all of them unless told."""
    query("SET session_replication_role = replica")  # lets us falsify the audit trail
    return lambda remembered=attempts: Reconciliation(query, remembered, STREAM_BASE_URL).discrepancies()


def _sent(client, delivery) -> Attempt:
    answer = client.post(delivery.path, data=delivery.fields)
    return Attempt(delivery, 0.0, 0.0, answer.status_code, answer.get_json())


ONE = "(SELECT digest FROM deliveries WHERE route = 'passthru' LIMIT 1)"
ENTRY_OF_ONE = "metadata ->> 'digest' = (SELECT encode(digest, 'hex') FROM deliveries WHERE route = 'passthru' LIMIT 1)"
COLUMNS = "created_at, event_type, severity, status, client_id, call_id, description, metadata"


class TestReckoning:
    def test_finds_no_fault_where_there_is_none(self, findings, attempts):
        routes = {attempt.delivery.route for attempt in attempts}

        assert findings().faults == []
        assert len(routes) == 6
        assert len(attempts) > len({attempt.delivery for attempt in attempts})

    @pytest.mark.parametrize(
        ("falsification", "kind", "complaint"),
        [
            (f"DELETE FROM deliveries WHERE digest = {ONE}", "lost", "passthru is not in the ledger"),
            (f"DELETE FROM deliveries WHERE digest = {ONE}", "wrong", "audit entry ("),
            (f"DELETE FROM audit_logs WHERE {ENTRY_OF_ONE}", "lost", "passthru is not in the audit trail"),
            (
                "INSERT INTO deliveries (client_id, digest, call_id, route, received_at, payload) SELECT client_id, "
                f"sha256(digest), call_id, route, received_at, payload FROM deliveries WHERE digest = {ONE}",
                "doubled",
                "2 rows in the ledger",
            ),
            (
                f"INSERT INTO audit_logs (id, {COLUMNS}) SELECT gen_random_uuid(), {COLUMNS} "
                f"FROM audit_logs WHERE {ENTRY_OF_ONE}",
                "doubled",
                "2 audit entries",
            ),
            (
                f'UPDATE deliveries SET payload = payload || \'{{"digits": "2"}}\' WHERE digest = {ONE}',
                "wrong",
                "'digits': '2'",
            ),
            (f"UPDATE deliveries SET route = 'recording' WHERE digest = {ONE}", "wrong", "is kept as recording"),
            (f"UPDATE audit_logs SET event_type = 'CALL_ENDED' WHERE {ENTRY_OF_ONE}", "wrong", "the audit entry says"),
            (f"UPDATE audit_logs SET call_id = NULL WHERE {ENTRY_OF_ONE}", "wrong", "the audit entry says"),
            ("UPDATE calls SET status = 'ringing' WHERE status = 'busy'", "wrong", "is ('ringing', 'rejected')"),
            ("UPDATE calls SET outcome = 'missed' WHERE status = 'busy'", "wrong", "is ('busy', 'missed')"),
            ("UPDATE calls SET id = gen_random_uuid() WHERE status = 'busy'", "wrong", "its stream is"),
            ("DELETE FROM calls WHERE status = 'busy'", "wrong", "is () and not ('busy', 'rejected')"),
        ],
    )
    def test_finds_what_was_falsified(self, findings, query, falsification, kind, complaint):
        query(falsification)

        assert any(complaint in fault for fault in getattr(findings(), kind))

    def test_finds_what_nobody_sent(self, findings, attempts):
        call_sid = next(a.delivery.fields["CallSid"] for a in attempts if a.delivery.route == "call-end")
        others = [attempt for attempt in attempts if attempt.delivery.fields.get("CallSid") != call_sid]

        wrong = findings(others).wrong

        assert {fault.partition(" (")[0] for fault in wrong} == {"delivery", "call"}

    def test_finds_a_stream_that_leads_elsewhere(self, findings, attempts):
        elsewhere = [replace(a, body=_elsewhere(a.body)) for a in attempts if a.delivery.route == "call-start"]

        assert any("its stream is ws://elsewhere" in fault for fault in findings([*attempts, *elsewhere]).wrong)

    def test_lets_what_was_not_acknowledged_be_missing(self, findings, attempts, query):
        query(f"DELETE FROM audit_logs WHERE {ENTRY_OF_ONE}")
        ((marker,),) = query(f"DELETE FROM deliveries WHERE digest = {ONE} RETURNING payload ->> 'CustomField'")
        unanswered = [replace(a, status=None) if a.delivery.marker == marker else a for a in attempts]

        assert findings(unanswered).faults == []


def _elsewhere(body: dict) -> dict:
    return json.loads(json.dumps(body).replace(STREAM_BASE_URL, "ws://elsewhere"))
