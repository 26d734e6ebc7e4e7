"""The latest backups according to the audit log, and their metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from calyapp import clock, metrics
from calyapp.audit.events import EventType
from calyapp.audit.reader import EventReader
from calyapp.db import tenancy
from calyapp.errors import DatabaseError

EVERY_SECONDS = 60.0
_MAX_DURATION = timedelta(hours=6)
# Bounds the search to two partitions of the audit log if there is no entry.
_MAX_AGE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class LatestBackups:
    """When the latest backups started, completed and failed, each None if the last 30 days have none.

    `failure` is the reason of the latest failure.
    """

    started_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""

    def has_failed(self) -> bool:
        """Returns whether the latest backup that ended failed."""
        return self.failed_at is not None and (self.completed_at is None or self.failed_at > self.completed_at)

    def was_interrupted(self, now: datetime) -> bool:
        """Returns whether the latest backup started more than six hours ago and has not ended."""
        ends = [moment for moment in (self.completed_at, self.failed_at) if moment]
        has_ended = self.started_at is None or any(moment >= self.started_at for moment in ends)
        return not has_ended and self.started_at is not None and now - self.started_at > _MAX_DURATION


def latest(reader: EventReader) -> LatestBackups:
    """Reads the latest backups from the audit log. Raises `DatabaseError`."""
    since = clock.now() - _MAX_AGE
    started = _newest(reader, EventType.BACKUP_STARTED, since)
    completed = _newest(reader, EventType.BACKUP_COMPLETED, since)
    failed = _newest(reader, EventType.BACKUP_FAILED, since)
    return LatestBackups(
        started_at=started.get("created_at"),
        completed_at=completed.get("created_at"),
        failed_at=failed.get("created_at"),
        failure=str((failed.get("metadata") or {}).get("reason", "")),
    )


def measure(reader: EventReader) -> None:
    """Updates the gauges. They keep their values while the audit log cannot be read."""
    try:
        backups = latest(reader)
    except DatabaseError:
        return  # the health checks report it
    metrics.BACKUP_TIMESTAMP.set(backups.completed_at.timestamp() if backups.completed_at else 0)
    metrics.BACKUP_FAILED.set(backups.has_failed() or backups.was_interrupted(clock.now()))


def _newest(reader: EventReader, event: EventType, since: datetime) -> Mapping[str, Any]:
    rows = reader.page(tenancy.ALL, {"event_type": event.value, "since": since}, None, 1).rows
    return rows[0] if rows else {}
