from datetime import timedelta

import pytest
import time_machine

from calyapp import clock, metrics
from calyapp.audit import audit_log, backups
from calyapp.audit.audit_log import Entry
from calyapp.audit.backups import LatestBackups
from calyapp.audit.events import EventType

HOUR = timedelta(hours=1)
NOW = clock.now()


@pytest.fixture
def note(services):
    """`note(event, ago)`: writes an audit entry of that age. Returns its timestamp."""

    def write(event: EventType, ago: timedelta, **metadata: str):
        with time_machine.travel(NOW - ago, tick=False):
            entry = Entry.now(event, "A backup", resource="database", metadata=metadata)
        audit_log.write(services.database.records, entry)
        return entry.created_at

    return write


@pytest.fixture
def figures(services):
    """Updates the two gauges and returns their values."""

    def measured() -> tuple[float, float]:
        backups.measure(services.event_reader)
        return metrics.BACKUP_TIMESTAMP._value.get(), metrics.BACKUP_FAILED._value.get()

    return measured


class TestLatest:
    def test_has_no_backup_in_an_empty_audit_log(self, services):
        assert backups.latest(services.event_reader) == LatestBackups()

    def test_is_the_newest_of_each_kind(self, services, note):
        note(EventType.BACKUP_COMPLETED, 5 * HOUR)
        started = note(EventType.BACKUP_STARTED, 3 * HOUR)
        completed = note(EventType.BACKUP_COMPLETED, 2 * HOUR)
        failed = note(EventType.BACKUP_FAILED, HOUR, reason="No room")

        assert backups.latest(services.event_reader) == LatestBackups(started, completed, failed, "No room")


class TestInterrupted:
    @pytest.mark.parametrize(
        ("latest", "expected"),
        [
            (LatestBackups(), False),
            (LatestBackups(started_at=NOW - HOUR), False),
            (LatestBackups(started_at=NOW - 7 * HOUR), True),
            (LatestBackups(started_at=NOW - 7 * HOUR, completed_at=NOW - 8 * HOUR), True),
            (LatestBackups(started_at=NOW - 7 * HOUR, completed_at=NOW - 6 * HOUR), False),
            (LatestBackups(started_at=NOW - 7 * HOUR, failed_at=NOW - 6 * HOUR), False),
        ],
    )
    def test_is_true_if_a_backup_began_long_ago_and_never_ended(self, latest, expected):
        assert latest.was_interrupted(NOW) is expected


class TestFigures:
    def test_are_zero_before_the_first_backup(self, figures):
        assert figures() == (0, 0)

    def test_show_the_last_complete_backup_and_a_later_failure(self, figures, note):
        completed = note(EventType.BACKUP_COMPLETED, 2 * HOUR)
        assert figures() == (completed.timestamp(), 0)

        note(EventType.BACKUP_FAILED, HOUR)
        assert figures() == (completed.timestamp(), 1)

        completed = note(EventType.BACKUP_COMPLETED, timedelta())
        assert figures() == (completed.timestamp(), 0)

    def test_show_a_killed_backup_as_failed(self, figures, note):
        note(EventType.BACKUP_STARTED, 7 * HOUR)

        assert figures() == (0, 1)

    def test_keep_their_values_while_the_database_is_unavailable(self, figures, note, services_without_database):
        completed = note(EventType.BACKUP_COMPLETED, HOUR)
        figures()

        backups.measure(services_without_database.event_reader)

        assert metrics.BACKUP_TIMESTAMP._value.get() == completed.timestamp()
