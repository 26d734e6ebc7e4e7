from uuid import UUID

import pytest

from calyapp import clock
from calyapp.calls.event import Arrival, Route
from calyapp.exotel import payload
from calyapp.exotel.rebuild import rebuild


@pytest.fixture
def record(services):
    """`record(client, route, **fields)`: as a delivery arrived."""

    def deliver(client, route: Route, **fields: str) -> None:
        moment = clock.now()
        arrival = Arrival(at=moment, audit_id=clock.uuid7(moment))
        services.recorder.record(payload.load(route, list(fields.items()), arrival, client.id))

    return deliver


@pytest.fixture
def asha(services):
    return services.clients.add("Asha Clinics", ["+918047112345"])


@pytest.fixture
def calls(record, asha):
    """Three whole calls of a client."""
    for sid in ("s1", "s2", "s3"):
        record(asha, Route.CALL_START, CallSid=sid, From="09876543210", To="08047112345", CustomField="NUL \0")
        record(asha, Route.CALL_STATUS, CallSid=sid, CallStatus="in-progress")
        record(asha, Route.CALL_END, CallSid=sid, CallStatus="completed", CallDuration="61")


@pytest.fixture
def folded(services):
    """`folded(**options)`: the differences found."""
    return lambda **options: [found for found in rebuild(services.database.records, **options) if found]


def spoil(query, sid: str) -> None:
    query(
        "UPDATE calls SET status = 'busy', outcome = 'rejected', evidence = 'busy', phone_from = '+911234567890' "
        "WHERE call_sid = %s",
        sid,
    )


@pytest.mark.usefixtures("calls")
class TestRebuild:
    def test_finds_nothing_where_the_rows_are_right(self, folded):
        assert folded(dry_run=True) == []

    def test_tells_what_would_change_and_changes_nothing_in_a_dry_run(self, folded, query):
        spoil(query, "s2")
        before = query("SELECT * FROM calls ORDER BY call_sid")

        (found,) = folded(dry_run=True)

        assert found.call_sid == "s2"
        assert found.fields["status"] == ("busy", "completed")
        assert found.fields["phone_from"] == ("*********90 (passthru)", "*********10 (passthru)")
        assert query("SELECT * FROM calls ORDER BY call_sid") == before

    def test_mends_the_row_and_audits_it(self, folded, query):
        right = query("SELECT status, outcome, evidence, phone_from, duration_seconds FROM calls WHERE call_sid = 's2'")
        spoil(query, "s2")

        folded()

        mended = query(
            "SELECT status, outcome, evidence, phone_from, duration_seconds FROM calls WHERE call_sid = 's2'"
        )
        assert mended == right
        ((before, after),) = query(
            "SELECT changes->'before'->>'status', changes->'after'->>'status' FROM audit_logs "
            "WHERE event_type = 'DATA_UPDATED' AND resource = 'call'"
        )
        assert (before, after) == ("busy", "completed")
        assert folded(dry_run=True) == []

    def test_keeps_to_one_client(self, folded, query, services, record):
        other = services.clients.add("Other", [])
        record(other, Route.CALL_END, CallSid="s9", From="09876543211", CallStatus="completed")
        spoil(query, "s2")
        spoil(query, "s9")

        assert [found.call_sid for found in folded(client_id=other.id, dry_run=True)] == ["s9"]
        assert folded(client_id=UUID(int=1), dry_run=True) == []

    def test_keeps_to_what_changed_since_a_moment(self, folded, query):
        spoil(query, "s1")
        spoil(query, "s2")
        query("UPDATE calls SET updated_at = updated_at - interval '1 day' WHERE call_sid = 's1'")
        ((since,),) = query("SELECT now() - interval '1 hour'")

        assert [found.call_sid for found in folded(since=since, dry_run=True)] == ["s2"]
