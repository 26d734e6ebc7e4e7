from uuid import UUID

import pytest

from calyapp import clock
from calyapp.calls.event import Arrival, Route
from calyapp.exotel import payload
from calyapp.exotel.rebuild import rebuild


@pytest.fixture
def record(services):
    """`record(client, route, **fields)` records a delivery."""

    def record_delivery(client, route: Route, **fields: str) -> None:
        now = clock.now()
        arrival = Arrival(at=now, audit_id=clock.uuid7(now))
        services.recorder.record(payload.load(route, list(fields.items()), arrival, client.id))

    return record_delivery


@pytest.fixture
def asha(services):
    return services.clients.add("Asha Clinics", ["+918047112345"])


@pytest.fixture
def calls(record, asha):
    """Three complete calls of a client."""
    for sid in ("s1", "s2", "s3"):
        record(asha, Route.CALL_START, CallSid=sid, From="09876543210", To="08047112345", CustomField="NUL \0")
        record(asha, Route.CALL_STATUS, CallSid=sid, CallStatus="in-progress")
        record(asha, Route.CALL_END, CallSid=sid, CallStatus="completed", CallDuration="61")


@pytest.fixture
def differences(services):
    """`differences(**options)` rebuilds the calls, and returns the differences."""
    return lambda **options: [difference for difference in rebuild(services.database.records, **options) if difference]


def corrupt(query, sid: str) -> None:
    query(
        "UPDATE calls SET status = 'busy', outcome = 'rejected', evidence = 'busy', phone_from = '+911234567890' "
        "WHERE call_sid = %s",
        sid,
    )


@pytest.mark.usefixtures("calls")
class TestRebuild:
    def test_finds_no_difference_if_the_rows_are_right(self, differences):
        assert differences(dry_run=True) == []

    def test_reports_differences_and_changes_nothing_in_a_dry_run(self, differences, query):
        corrupt(query, "s2")
        before = query("SELECT * FROM calls ORDER BY call_sid")

        (difference,) = differences(dry_run=True)

        assert difference.call_sid == "s2"
        assert difference.fields["status"] == ("busy", "completed")
        assert difference.fields["phone_from"] == ("*********90 (passthru)", "*********10 (passthru)")
        assert query("SELECT * FROM calls ORDER BY call_sid") == before

    def test_corrects_the_row_and_writes_an_audit_entry(self, differences, query):
        right = query("SELECT status, outcome, evidence, phone_from, duration_seconds FROM calls WHERE call_sid = 's2'")
        corrupt(query, "s2")

        differences()

        corrected = query(
            "SELECT status, outcome, evidence, phone_from, duration_seconds FROM calls WHERE call_sid = 's2'"
        )
        assert corrected == right
        ((before, after),) = query(
            "SELECT changes->'before'->>'status', changes->'after'->>'status' FROM audit_logs "
            "WHERE event_type = 'DATA_UPDATED' AND resource = 'call'"
        )
        assert (before, after) == ("busy", "completed")
        assert differences(dry_run=True) == []

    def test_can_be_limited_to_one_client(self, differences, query, services, record):
        other = services.clients.add("Other", [])
        record(other, Route.CALL_END, CallSid="s9", From="09876543211", CallStatus="completed")
        corrupt(query, "s2")
        corrupt(query, "s9")

        assert [difference.call_sid for difference in differences(client_id=other.id, dry_run=True)] == ["s9"]
        assert differences(client_id=UUID(int=1), dry_run=True) == []

    def test_can_be_limited_to_calls_changed_since_a_time(self, differences, query):
        corrupt(query, "s1")
        corrupt(query, "s2")
        query("UPDATE calls SET updated_at = updated_at - interval '1 day' WHERE call_sid = 's1'")
        ((since,),) = query("SELECT now() - interval '1 hour'")

        assert [difference.call_sid for difference in differences(since=since, dry_run=True)] == ["s2"]
