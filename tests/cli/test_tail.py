"""Runs the command in this process. A test action replaces each wait of one second, and Ctrl-C ends the command."""

import json
from importlib import import_module
from uuid import UUID

import pytest

from calyapp.app import create_app
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.config import Settings

NUMBER = "+918047112345"


@pytest.fixture
def meanwhile(monkeypatch):
    """`meanwhile(*happenings)` runs one action in each wait of the command, then sends Ctrl-C."""

    def plan(*happenings):
        steps = iter(happenings)

        def wait(_seconds):
            try:
                happen = next(steps)
            except StopIteration:
                raise KeyboardInterrupt from None
            happen()

        monkeypatch.setattr(import_module("calyapp.cli.tail"), "sleep", wait)

    return plan


@pytest.fixture
def refusals(app):
    """`refusals()` writes the audit entry of 31 refusals whose reason contains control characters."""
    metadata = {"reason": "From is missing.\x1b[2J", "count": 31}
    entry = Entry.now(
        EventType.WEBHOOK_REJECTED,
        "Delivery rejected",
        status="failure",
        resource="route",
        resource_id="/webhooks/exotel/call-start",
        metadata=metadata,
    )
    return lambda: audit_log.write(app.extensions["caly"].database.records, entry)


@pytest.fixture
def deliver(client, asha):
    """`deliver(sid)` records a delivery that depends only on the CallSid."""
    fields = {"From": "09876543210", "To": NUMBER}
    return lambda sid: client.post(asha["webhookUrl"], data={"CallSid": sid, **fields})


class TestTail:
    def test_prints_new_entries_without_numbers(self, caly, deliver, refusals, meanwhile):
        deliver("before")
        meanwhile(lambda: deliver("s1"), lambda: [deliver("s1"), deliver("s1")], refusals)

        result = caly("tail")

        lines = [line.split(maxsplit=1)[1] for line in result.stdout.splitlines()]
        assert lines == [
            "new        call-start   Asha Clinics      before",
            "new        call-start   Asha Clinics      s1",
            "repeat     call-start   Asha Clinics      s1  ×2",
            r"refused    call-start   -                 -  ×31  From is missing.\x1b[2J",
        ]
        assert result.exit_code == 130
        assert "9876543210" not in result.stdout

    def test_prints_a_line_of_json_for_each_entry(self, caly, asha, deliver, refusals, meanwhile):
        meanwhile(lambda: deliver("s1"), refusals)

        result = caly("tail", "--json")

        new, refused = map(json.loads, result.stdout.splitlines())
        assert set(new) == {"at", "result", "route", "clientId", "callSid", "count", "reason", "eventId"}
        assert (new["result"], new["clientId"], new["callSid"], new["count"]) == ("new", asha["id"], "s1", 1)
        assert (refused["result"], refused["clientId"], refused["count"]) == ("refused", None, 31)

    def test_prints_only_entries_of_the_given_client(self, caly, told, deliver, refusals, meanwhile):
        other = told("clients", "add", "--name", "Other")["id"]
        meanwhile(lambda: deliver("s1"), refusals)

        assert caly("tail", "--client", other).stdout == ""

    def test_exits_with_a_message_for_an_unknown_client(self, caly):
        result = caly("tail", "--client", UUID(int=1))

        assert (result.exit_code, result.stdout) == (1, "")
        assert "client" in result.stderr

    def test_exits_with_a_message_without_a_database(self):
        nowhere = "postgresql://caly@127.0.0.1:1/caly"
        application = create_app(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": nowhere}))

        result = application.test_cli_runner().invoke(args=["caly", "tail"])
        application.extensions["caly"].close()

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: ")

    def test_reports_a_database_outage_once_and_continues_afterwards(self, postgres, meanwhile):
        application = create_app(Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": postgres.url}))
        services = application.extensions["caly"]
        owner = services.clients.add("Asha Clinics", [NUMBER])

        def record():
            entry = Entry.now(EventType.HEARTBEAT_RECEIVED, "Said", client_id=UUID(str(owner.id)))
            audit_log.write(services.database.records, entry)

        meanwhile(postgres.stop, lambda: None, lambda: None, postgres.start, record, lambda: None)

        result = application.test_cli_runner().invoke(args=["caly", "tail"])
        services.close()

        away, back, _ = result.stderr.splitlines()
        assert away.endswith("This command continues when it is back.")
        assert back == "The database is back."
        assert result.exit_code == 130
        (line,) = result.stdout.splitlines()
        assert "new        -            Asha Clinics" in line
