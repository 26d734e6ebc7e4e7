from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import time_machine

from calyapp import clock
from calyapp.audit import audit_log
from calyapp.audit.audit_log import COLUMNS, Entry
from calyapp.audit.events import SEVERITY, EventType
from calyapp.errors import DatabaseError, Severity

NOW = datetime.now(UTC)
FULL = Entry(
    id=UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
    created_at=NOW,
    event_type=EventType.WEBHOOK_REJECTED,
    description="Delivery rejected, ' \" \\ % and नमस्ते",
    status="failure",
    client_id=uuid4(),
    call_id=uuid4(),
    user_id=uuid4(),
    resource="route",
    resource_id="/webhooks/exotel/call-start",
    changes={"before": {"name": "A"}, "after": {"name": "B"}},
    ip_address="2001:db8::1",
    user_agent="curl/8.0",
    request_id="1790000000000-abcdefghi",
    metadata={"reason": "नमस्ते", "count": 3},
)


@pytest.fixture
def append(services):
    """Appends entries, each in its own transaction."""

    def append_each(*entries):
        for entry in entries:
            with services.database.records.transaction() as connection:
                audit_log.append(connection, entry)

    return append_each


@pytest.fixture
def stored(query):
    """The rows of the audit log, each as a dict of its columns."""
    columns = ", ".join(f"{name}::text" if type_ in ("uuid", "inet") else name for name, type_ in COLUMNS.items())
    return lambda: [dict(zip(COLUMNS, row, strict=True)) for row in query(f"SELECT {columns} FROM audit_logs")]


def test_columns_are_those_of_the_table(query):
    in_table = query(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'audit_logs'::regclass AND attnum > 0 AND NOT attisdropped"
    )

    assert dict(in_table) == COLUMNS


class TestEntry:
    def test_has_the_current_time_and_an_id_that_sorts_by_it(self):
        with time_machine.travel(NOW, tick=False):
            entry = Entry.now(EventType.CALL_STARTED, "Call started", resource="call")

        assert (entry.created_at, entry.resource) == (NOW, "call")
        assert entry.id.version == 7
        assert entry.id.int >> 80 == clock.milliseconds(NOW)

    @pytest.mark.parametrize("event", EventType)
    def test_has_the_severity_of_its_type(self, event):
        assert Entry.now(event, "Something").parameters()["severity"] == SEVERITY[event].value

    def test_has_its_own_severity_if_given(self):
        entry = Entry.now(EventType.SECURITY_VIOLATION, "Something", severity=Severity.CRITICAL)

        assert entry.parameters()["severity"] == "CRITICAL"

    def test_has_a_parameter_for_every_column(self):
        assert list(FULL.parameters()) == list(COLUMNS)


class TestAppend:
    def test_writes_every_column(self, append, stored):
        append(FULL)

        assert stored() == [
            {
                "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                "created_at": NOW,
                "event_type": "WEBHOOK_REJECTED",
                "severity": "MEDIUM",
                "status": "failure",
                "client_id": str(FULL.client_id),
                "call_id": str(FULL.call_id),
                "user_id": str(FULL.user_id),
                "description": "Delivery rejected, ' \" \\ % and नमस्ते",
                "resource": "route",
                "resource_id": "/webhooks/exotel/call-start",
                "changes": {"before": {"name": "A"}, "after": {"name": "B"}},
                "ip_address": "2001:db8::1/128",
                "user_agent": "curl/8.0",
                "request_id": "1790000000000-abcdefghi",
                "metadata": {"reason": "नमस्ते", "count": 3},
            }
        ]

    def test_leaves_missing_values_null(self, append, stored):
        entry = Entry.now(EventType.CALL_ENDED, "Call ended")

        append(entry)

        said = {"id": str(entry.id), "created_at": entry.created_at, "event_type": "CALL_ENDED", "severity": "LOW"}
        said |= {"status": "success", "description": "Call ended", "metadata": {}}
        assert stored() == [dict.fromkeys(COLUMNS) | said]

    def test_writes_a_repeated_entry_once(self, append, stored):
        append(FULL)
        once = stored()

        append(FULL, FULL)

        assert stored() == once

    def test_is_rolled_back_with_the_callers_transaction(self, services, stored):
        with services.database.records.connection() as connection:
            transaction = connection.begin()
            audit_log.append(connection, FULL)
            transaction.rollback()

        assert stored() == []

    @pytest.mark.parametrize("change", ["UPDATE audit_logs SET status = 'success'", "DELETE FROM audit_logs"])
    def test_cannot_be_changed_or_deleted(self, append, services, stored, change):
        append(FULL)
        before = stored()

        with pytest.raises(DatabaseError), services.database.records.transaction() as connection:
            connection.exec_driver_sql(change)

        assert stored() == before
