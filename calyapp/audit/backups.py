"""What the trail knows of the latest backups, and that in figures for the metrics."""

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
# So that a search in vain looks into two months of the trail, not into all of them.
_SEARCHED = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class LatestBackups:
    """When the latest backups began, were completed and failed; None if there is none of the last 30 days.

    `failure` is the reason of the latest that failed.
    """

    started_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""

    def has_failed(self) -> bool:
        """Whether the latest that ended failed."""
        return self.failed_at is not None and (self.completed_at is None or self.failed_at > self.completed_at)

    def was_interrupted(self, now: datetime) -> bool:
        """Whether the latest began and never ended: after six hours it no longer will."""
        ends = [moment for moment in (self.completed_at, self.failed_at) if moment]
        has_ended = self.started_at is None or any(moment >= self.started_at for moment in ends)
        return not has_ended and self.started_at is not None and now - self.started_at > _MAX_DURATION


def latest(reader: EventReader) -> LatestBackups:
    """What the trail knows. Raises `DatabaseError`."""
    since = clock.now() - _SEARCHED
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
    """Set the gauges to what the trail knows; they stay as they are while it cannot be read."""
    try:
        known = latest(reader)
    except DatabaseError:
        return  # the health checks tell
    metrics.BACKUP_TIMESTAMP.set(known.completed_at.timestamp() if known.completed_at else 0)
    metrics.BACKUP_FAILED.set(known.has_failed() or known.was_interrupted(clock.now()))


def _newest(reader: EventReader, event: EventType, since: datetime) -> Mapping[str, Any]:
    rows = reader.page(tenancy.ALL, {"event_type": event.value, "since": since}, None, 1).rows
    return rows[0] if rows else {}
