"""When the database was given up and when it was back, told in the trail as soon as the trail can be written.

Until then the spool remembers it, so that it outlives the process that saw it.
"""

import json
import logging
from datetime import datetime
from uuid import UUID

from calyapp import clock, metrics
from calyapp.audit import trail
from calyapp.audit.events import EventType
from calyapp.audit.trail import Entry
from calyapp.calls import misdated
from calyapp.db.engine import Pool
from calyapp.spool.journal import Journal, SpoolError

_NOTE = "degraded since"
_log = logging.getLogger(__name__)


class DegradedMode:
    """The degraded mode of this host: all its workers share one spool, and so one such period."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def changed(self, is_away: bool) -> None:
        """This process gave the database up, or has it back."""
        metrics.DB_BREAKER_OPEN.set(is_away)
        if not is_away:
            _log.warning("the database is back")
            return
        _log.error("the database is away or too slow: deliveries go to the spool")
        moment = clock.now()
        try:
            self._journal.remember(_NOTE, json.dumps({"id": str(clock.uuid7(moment)), "at": moment.isoformat()}))
        except SpoolError as error:
            _log.critical("the spool cannot be written: %s", error)

    def is_untold(self) -> bool:
        """Whether the trail has yet to be told."""
        return self._journal.recall(_NOTE) is not None

    def tell(self, pool: Pool) -> None:
        """Tell the trail of the period that is over, if there was one. Raises `DatabaseAway`."""
        if note := self._journal.recall(_NOTE):
            trail.write(pool, *_entries(note))
            self._journal.forget(_NOTE)


def _entries(note: str) -> tuple[Entry, Entry]:
    """The first under the id that it was given at its moment: told twice, it stands there once."""
    identity, began = _remembered(note)
    entered = Entry(
        id=identity,
        created_at=began,
        event_type=EventType.DEGRADED_MODE_ENTERED,
        description="Database away or too slow: deliveries go to the spool",
        status="failure",
        resource="database",
    )
    seconds = round((clock.now() - began).total_seconds(), 1)
    left = Entry.now(EventType.DEGRADED_MODE_LEFT, "Database back", resource="database", metadata={"seconds": seconds})
    return entered, left


def _remembered(note: str) -> tuple[UUID, datetime]:
    """Its id and when it began; both new where the note is damaged, for the deliveries wait until it is told."""
    now = clock.now()
    try:
        fields = json.loads(note)
        return UUID(fields["id"]), misdated.plausible(datetime.fromisoformat(fields["at"]), now)
    except (ValueError, KeyError, TypeError, AttributeError):
        return clock.uuid7(now), now
