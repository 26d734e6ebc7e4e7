"""Reports in the audit log when degraded mode began and ended, as soon as the audit log can be written again.

Until then the spool holds both moments as notes, so that they outlive the process that noticed them.
"""

import json
import logging
from datetime import datetime, timedelta
from uuid import UUID

from calyapp import clock, metrics
from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.calls import arrival_time
from calyapp.db.engine import Pool
from calyapp.spool.journal import Journal, SpoolError

_BEGAN = "degraded since"
_ENDED = "degraded until"
# If the process that would end the period died, another process that reaches the database ends it after this time.
_ABANDONED_AFTER = timedelta(minutes=1)
_log = logging.getLogger(__name__)

Stamp = tuple[UUID, datetime]
"""The id and the moment of an audit entry that is written later."""


class DegradedMode:
    """The degraded mode of this host. All its workers share one spool, and so one period of degraded mode."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def record_change(self, is_away: bool) -> None:
        """Records that this process stopped using the database, or uses it again."""
        metrics.DB_BREAKER_OPEN.set(is_away)
        if is_away:
            _log.error("the database is away or too slow: deliveries go to the spool")
        else:
            _log.warning("the database is back")
        identity, moment = _now()
        note = json.dumps({"id": str(identity), "at": moment.isoformat()})
        try:
            self._journal.notes.add(_BEGAN if is_away else _ENDED, note)
        except SpoolError as error:
            _log.critical("the spool cannot be written: %s", error)

    def has_unreported(self) -> bool:
        """Whether a period is not in the audit log yet."""
        return self._journal.notes.get(_BEGAN) is not None

    def report(self, pool: Pool) -> None:
        """Writes a period that is over to the audit log, if there is one. Raises `DatabaseAway`."""
        began, ended = self._journal.notes.get(_BEGAN), self._journal.notes.get(_ENDED)
        if began and (ended or _is_abandoned(began)):
            audit_log.write(pool, *_entries(_read(began) or _now(), _read(ended or "") or _now()))
            self._journal.notes.remove(_BEGAN)
            self._journal.notes.remove(_ENDED)


def _entries(began: Stamp, ended: Stamp) -> tuple[Entry, Entry]:
    """Returns both entries with the ids of their notes, so that a repeated report adds no entry."""
    entered = Entry(
        id=began[0],
        created_at=began[1],
        event_type=EventType.DEGRADED_MODE_ENTERED,
        description="Database away or too slow: deliveries go to the spool",
        status="failure",
        resource="database",
    )
    left = Entry(
        id=ended[0],
        created_at=ended[1],
        event_type=EventType.DEGRADED_MODE_LEFT,
        description="Database back",
        resource="database",
        metadata={"seconds": round((ended[1] - began[1]).total_seconds(), 1)},
    )
    return entered, left


def _is_abandoned(began: str) -> bool:
    """Whether no process will end the period. True for an unreadable note, which is reported with the present time."""
    stamp = _read(began)
    return stamp is None or clock.now() - stamp[1] > _ABANDONED_AFTER


def _now() -> Stamp:
    moment = clock.now()
    return clock.uuid7(moment), moment


def _read(note: str) -> Stamp | None:
    """Returns None if the note is damaged, or if its moment is implausible and may have no partition."""
    try:
        fields = json.loads(note)
        identity, moment = UUID(fields["id"]), datetime.fromisoformat(fields["at"])
        return (identity, moment) if arrival_time.is_plausible(moment, clock.now()) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
