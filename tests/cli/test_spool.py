"""Runs `flask caly spool …` in this process. tests/system shows what the running service does."""

from datetime import UTC, datetime
from uuid import uuid4

import orjson
import pytest
from events import event

from calyapp.calls import frame
from calyapp.spool.journal import Lane


@pytest.fixture
def journal(app):
    return app.extensions["caly"].journal


@pytest.fixture
def put(journal):
    """`put(event, reason)` puts the event on the spool or, with a reason, into quarantine."""

    def append(delivery, reason: str | None = None) -> None:
        known = {"client_id": delivery.client_id, "lane": Lane.AWAY, "arrived_at": delivery.arrival.at}
        journal.append(frame.dump(delivery), **known, reason=reason)

    return append


@pytest.fixture
def owner(app):
    return app.extensions["caly"].clients.add("A", ["+918047112345"])


class TestStatus:
    def test_is_all_zero_for_an_empty_spool(self, caly):
        done = caly("spool", "status", "--json")

        status = orjson.loads(done.stdout)
        assert (done.exit_code, list(status)) == (0, ["depth", "oldestSeconds", "quarantined", "bytes"])
        assert (status["depth"], status["oldestSeconds"], status["quarantined"]) == (0, 0, 0)

    def test_describes_waiting_deliveries(self, caly, put):
        put(event())
        put(event(), "SQLSTATE 22001")

        done = caly("spool", "status", "--json")

        status = orjson.loads(done.stdout)
        assert (done.exit_code, status["depth"], status["quarantined"]) == (1, 1, 1)
        assert status["bytes"] > 0


class TestReplay:
    def test_records_waiting_deliveries(self, caly, put, owner, query):
        put(event(client_id=owner.id))

        done = caly("spool", "replay", "--json")

        assert (done.exit_code, orjson.loads(done.stdout)) == (0, {"replayed": 1, "waiting": 0})
        assert query("SELECT count(*) FROM deliveries") == [(1,)]

    def test_exits_with_1_if_deliveries_still_wait(self, caly, put, owner, query):
        query("ALTER TABLE calls RENAME TO elsewhere")
        put(event(client_id=owner.id))

        done = caly("spool", "replay", "--json")

        assert (done.exit_code, orjson.loads(done.stdout)) == (1, {"replayed": 0, "waiting": 1})

    def test_refuses_to_run_while_the_service_replays(self, caly, app, put, owner):
        put(event(client_id=owner.id))
        put(event(client_id=owner.id))
        service = app.extensions["caly"].replay.run()
        next(service)

        done = caly("spool", "replay")

        assert (done.exit_code, "service is replaying" in done.stderr) == (1, True)
        service.close()


class TestQuarantine:
    def test_is_listed_with_reasons(self, caly, put, owner):
        put(event(client_id=owner.id), "SQLSTATE 22001")

        (listed,) = orjson.loads(caly("spool", "quarantine", "list", "--json").stdout)

        assert (listed["clientId"], listed["reason"]) == (str(owner.id), "SQLSTATE 22001")

    def test_shows_a_delivery_with_its_parameters(self, caly, put, journal):
        delivery = event(parameters=[("CallSid", "sid-1"), ("CustomField", "नमस्ते")])
        put(delivery, "Client not found")
        (one,) = journal.quarantined()

        shown = orjson.loads(caly("spool", "quarantine", "show", str(one.id), "--json").stdout)

        assert shown["parameters"] == ["CallSid=sid-1", "CustomField=नमस्ते"]
        assert (shown["digest"], shown["route"]) == (delivery.digest.hex(), "call-status")

    def test_shows_an_unreadable_delivery_as_unreadable(self, caly, journal):
        journal.append(b"x", client_id=None, lane=Lane.AWAY, arrived_at=datetime.now(UTC), reason="not an event")
        (one,) = journal.quarantined()

        done = caly("spool", "quarantine", "show", str(one.id))

        assert (done.exit_code, "not an event" in done.stdout) == (0, True)

    def test_is_retried_by_id_or_completely(self, caly, put, journal):
        for _ in range(3):
            put(event(), "Client not found")
        first = journal.quarantined()[0].id

        one = caly("spool", "quarantine", "retry", str(first), "--json")
        rest = caly("spool", "quarantine", "retry", "--all", "--json")

        assert [orjson.loads(done.stdout) for done in (one, rest)] == [{"retried": 1}, {"retried": 2}]
        assert (journal.status().depth, journal.quarantined()) == (3, [])

    @pytest.mark.parametrize("arguments", [[], ["1", "--all"]])
    def test_is_retried_only_with_either_ids_or_all(self, caly, arguments):
        assert caly("spool", "quarantine", "retry", *arguments).exit_code == 2

    @pytest.mark.parametrize("command", [["retry"], ["show"], ["drop", "--yes"]])
    def test_reports_unknown_ids(self, caly, put, command):
        put(event())

        done = caly("spool", "quarantine", *command, "77")

        assert (done.exit_code, "Not in quarantine: 77" in done.stderr) == (1, True)

    def test_drops_a_delivery_permanently_and_audits_it(self, caly, put, journal, query):
        client_id = uuid4()
        put(event(client_id=client_id), "SQLSTATE 22001")
        (one,) = journal.quarantined()

        done = caly("spool", "quarantine", "drop", str(one.id), "--yes", "--json")

        assert (done.exit_code, journal.quarantined()) == (0, [])
        told = query("SELECT client_id, severity, metadata->>'reason' FROM audit_logs")
        assert told == [(str(client_id), "CRITICAL", "SQLSTATE 22001")]

    def test_drops_nothing_without_confirmation(self, caly, put, journal):
        put(event(), "SQLSTATE 22001")
        (one,) = journal.quarantined()

        assert caly("spool", "quarantine", "drop", str(one.id)).exit_code == 1

        assert len(journal.quarantined()) == 1
