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


def told(query) -> list[tuple]:
    return query("SELECT event_type, id FROM audit_logs ORDER BY created_at")


class TestTell:
    def test_tells_nothing_where_nothing_was(self, services, degraded, query):
        degraded.report(services.database.ingest)

        assert told(query) == []

    def test_tells_once_when_it_began_and_that_it_is_over(self, services, degraded, query):
        degraded.record_change(True)
        degraded.record_change(True)  # another worker, or the same again
        degraded.record_change(False)

        degraded.report(services.database.ingest)
        degraded.report(services.database.ingest)

        assert [row[0] for row in told(query)] == ["DEGRADED_MODE_ENTERED", "DEGRADED_MODE_LEFT"]
        assert not degraded.has_unreported()

    def test_keeps_for_later_what_the_trail_cannot_take(self, services_without_database):
        degraded = DegradedMode(services_without_database.journal)
        degraded.record_change(True)
        degraded.record_change(False)

        with pytest.raises(DatabaseAway):
            degraded.report(services_without_database.database.ingest)

        assert degraded.has_unreported()

    def test_outlives_the_process_that_saw_it(self, services, degraded, query):
        degraded.record_change(True)
        degraded.record_change(False)

        DegradedMode(services.journal).report(services.database.ingest)

        assert len(told(query)) == 2

    @pytest.mark.parametrize("at", ["1970-01-01T00:00:10+00:00", "2035-01-01T00:00:00+00:00", "2026-01-01", "never"])
    def test_does_not_keep_the_deliveries_waiting_for_a_time_that_cannot_be(self, services, degraded, query, at):
        services.journal.notes.add("degraded since", f'{{"id": "{uuid4()}", "at": "{at}"}}')

        degraded.report(services.database.ingest)

        assert [row[0] for row in told(query)] == ["DEGRADED_MODE_ENTERED", "DEGRADED_MODE_LEFT"]
        assert not degraded.has_unreported()

    def test_does_not_keep_the_deliveries_waiting_for_a_note_that_is_damaged(self, services, degraded, query):
        services.journal.notes.add("degraded since", '{"id": "\ufffd')

        degraded.report(services.database.ingest)

        assert len(told(query)) == 2


def test_a_spool_that_cannot_be_written_is_logged_and_no_more(services, degraded, caplog):
    services.settings.spool_dir.parent.mkdir(parents=True)
    services.settings.spool_dir.write_text("a file where the folder should be")

    degraded.record_change(True)

    assert "the spool cannot be written" in caplog.text


def test_a_period_that_goes_on_is_not_told_by_those_who_do_not_notice(services, degraded, query):
    degraded.record_change(True)

    degraded.report(services.database.ingest)

    assert (told(query), degraded.has_unreported()) == ([], True)


def test_a_period_whose_process_died_is_told_a_minute_later(services, degraded, query):
    with time_machine.travel(clock.now() - timedelta(minutes=2)):
        degraded.record_change(True)

    degraded.report(services.database.ingest)

    assert len(told(query)) == 2
