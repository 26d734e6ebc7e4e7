"""The reconciliation of the chaos test finds every kind of fault. Each is put into a real database without faults."""

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
    """Answered deliveries of several calls, with heartbeats and repeats."""
    command = ["caly", "clients", "add", "--name", "Asha", "--number", "+918047112345", "--json"]
    tenant = json.loads(app.test_cli_runner().invoke(args=command).stdout)
    return [_sent(client, delivery) for delivery in itertools.islice(deliveries([tenant], Random(3)), 150)]


@pytest.fixture
def discrepancies(query, attempts):
    """`discrepancies(attempts)` reconciles the database with these attempts; all of them by default."""
    query("SET session_replication_role = replica")  # disables the triggers that protect the audit log
    return lambda attempts=attempts: Reconciliation(query, attempts, STREAM_BASE_URL).discrepancies()


def _sent(client, delivery) -> Attempt:
    answer = client.post(delivery.path, data=delivery.fields)
    return Attempt(delivery, 0.0, 0.0, answer.status_code, answer.get_json())


ONE = "(SELECT digest FROM deliveries WHERE route = 'passthru' LIMIT 1)"
ENTRY_OF_ONE = "metadata ->> 'digest' = (SELECT encode(digest, 'hex') FROM deliveries WHERE route = 'passthru' LIMIT 1)"
COLUMNS = "created_at, event_type, severity, status, client_id, call_id, description, metadata"


class TestReconciliation:
    def test_finds_nothing_in_a_correct_database(self, discrepancies, attempts):
        routes = {attempt.delivery.route for attempt in attempts}

        assert discrepancies().all == []
        assert len(routes) == 6
        assert len(attempts) > len({attempt.delivery for attempt in attempts})

    @pytest.mark.parametrize(
        ("falsification", "kind", "difference"),
        [
            (f"DELETE FROM deliveries WHERE digest = {ONE}", "lost", "passthru is not in the ledger"),
            (f"DELETE FROM deliveries WHERE digest = {ONE}", "wrong", "audit entry ("),
            (f"DELETE FROM audit_logs WHERE {ENTRY_OF_ONE}", "lost", "passthru has no audit entry"),
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
            (f"UPDATE deliveries SET route = 'recording' WHERE digest = {ONE}", "wrong", "is stored as recording"),
            (f"UPDATE audit_logs SET event_type = 'CALL_ENDED' WHERE {ENTRY_OF_ONE}", "wrong", "the audit entry says"),
            (f"UPDATE audit_logs SET call_id = NULL WHERE {ENTRY_OF_ONE}", "wrong", "the audit entry says"),
            ("UPDATE calls SET status = 'ringing' WHERE status = 'busy'", "wrong", "is ('ringing', 'rejected')"),
            ("UPDATE calls SET outcome = 'missed' WHERE status = 'busy'", "wrong", "is ('busy', 'missed')"),
            ("UPDATE calls SET id = gen_random_uuid() WHERE status = 'busy'", "wrong", "its stream is"),
            ("DELETE FROM calls WHERE status = 'busy'", "wrong", "is () and not ('busy', 'rejected')"),
        ],
    )
    def test_finds_a_falsified_record(self, discrepancies, query, falsification, kind, difference):
        query(falsification)

        assert any(difference in sentence for sentence in getattr(discrepancies(), kind))

    def test_finds_records_of_deliveries_that_were_never_sent(self, discrepancies, attempts):
        call_sid = next(a.delivery.fields["CallSid"] for a in attempts if a.delivery.route == "call-end")
        others = [attempt for attempt in attempts if attempt.delivery.fields.get("CallSid") != call_sid]

        wrong = discrepancies(others).wrong

        assert {difference.partition(" (")[0] for difference in wrong} == {"delivery", "call"}

    def test_finds_a_stream_to_another_server(self, discrepancies, attempts):
        elsewhere = [replace(a, body=_elsewhere(a.body)) for a in attempts if a.delivery.route == "call-start"]

        assert any(
            "its stream is ws://elsewhere" in difference for difference in discrepancies([*attempts, *elsewhere]).wrong
        )

    def test_allows_an_unacknowledged_delivery_to_be_missing(self, discrepancies, attempts, query):
        query(f"DELETE FROM audit_logs WHERE {ENTRY_OF_ONE}")
        ((marker,),) = query(f"DELETE FROM deliveries WHERE digest = {ONE} RETURNING payload ->> 'CustomField'")
        unanswered = [replace(a, status=None) if a.delivery.marker == marker else a for a in attempts]

        assert discrepancies(unanswered).all == []


def _elsewhere(body: dict) -> dict:
    return json.loads(json.dumps(body).replace(STREAM_BASE_URL, "ws://elsewhere"))
