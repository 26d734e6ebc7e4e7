from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine

from calyapp import clock
from calyapp.calls.degraded_mode import DegradedMode
from calyapp.errors import DatabaseAway


@pytest.fixture
def degraded(services):
    return DegradedMode(services.journal)


def entries(query) -> list[tuple]:
    return query("SELECT event_type, id FROM audit_logs ORDER BY created_at")


class TestReport:
    def test_writes_nothing_without_a_period(self, services, degraded, query):
        degraded.report(services.database.ingest)

        assert entries(query) == []

    def test_writes_once_when_a_period_began_and_ended(self, services, degraded, query):
        degraded.record_change(True)
        degraded.record_change(True)  # another worker, or the same one again
        degraded.record_change(False)

        degraded.report(services.database.ingest)
        degraded.report(services.database.ingest)

        assert [row[0] for row in entries(query)] == ["DEGRADED_MODE_ENTERED", "DEGRADED_MODE_LEFT"]
        assert not degraded.has_unreported()

    def test_keeps_the_period_while_the_audit_log_cannot_be_written(self, services_without_database):
        degraded = DegradedMode(services_without_database.journal)
        degraded.record_change(True)
        degraded.record_change(False)

        with pytest.raises(DatabaseAway):
            degraded.report(services_without_database.database.ingest)

        assert degraded.has_unreported()

    def test_writes_a_period_that_another_process_noticed(self, services, degraded, query):
        degraded.record_change(True)
        degraded.record_change(False)

        DegradedMode(services.journal).report(services.database.ingest)

        assert len(entries(query)) == 2

    @pytest.mark.parametrize("at", ["1970-01-01T00:00:10+00:00", "2035-01-01T00:00:00+00:00", "2026-01-01", "never"])
    def test_writes_a_period_with_an_implausible_time(self, services, degraded, query, at):
        services.journal.notes.add("degraded since", f'{{"id": "{uuid4()}", "at": "{at}"}}')

        degraded.report(services.database.ingest)

        assert [row[0] for row in entries(query)] == ["DEGRADED_MODE_ENTERED", "DEGRADED_MODE_LEFT"]
        assert not degraded.has_unreported()

    def test_writes_a_period_with_a_damaged_note(self, services, degraded, query):
        services.journal.notes.add("degraded since", '{"id": "\ufffd')

        degraded.report(services.database.ingest)

        assert len(entries(query)) == 2

    def test_writes_nothing_while_the_period_lasts(self, services, degraded, query):
        degraded.record_change(True)

        degraded.report(services.database.ingest)

        assert (entries(query), degraded.has_unreported()) == ([], True)

    def test_writes_a_period_a_minute_after_its_process_died(self, services, degraded, query):
        with time_machine.travel(clock.now() - timedelta(minutes=2)):
            degraded.record_change(True)

        degraded.report(services.database.ingest)

        assert len(entries(query)) == 2


class TestRecordChange:
    def test_only_logs_that_the_spool_cannot_be_written(self, services, degraded, caplog):
        services.settings.spool_dir.parent.mkdir(parents=True)
        services.settings.spool_dir.write_text("a file where the folder should be")

        degraded.record_change(True)

        assert "the spool cannot be written" in caplog.text
