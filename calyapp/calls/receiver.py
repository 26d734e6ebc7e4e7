"""Receives deliveries: records each one in PostgreSQL, or on the spool if that is not possible now."""

import logging
from dataclasses import dataclass
from uuid import UUID

from calyapp import metrics
from calyapp.calls import frame
from calyapp.calls.event import CallEvent
from calyapp.calls.recorder import Recorder
from calyapp.errors import DatabaseAway, DatabaseError, DatabaseRejected
from calyapp.spool.journal import Journal, Lane, SpoolError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReceivedDelivery:
    """A delivery that is on disk, with its client, its call and the status of the call.

    For a delivery on the spool, client and call may be unknown, and the status is only what this delivery says.
    """

    client_id: UUID | None
    call_id: UUID | None
    status: str | None


class Receiver:
    """Receives the deliveries of one process."""

    def __init__(self, recorder: Recorder, journal: Journal) -> None:
        self._recorder = recorder
        self._journal = journal

    def receive(self, event: CallEvent, *, deferred: bool = False) -> ReceivedDelivery:
        """Stores the delivery on disk. `deferred`: its client is over its rate limit, so others go first.

        Raises `NotFoundError` if no client owns it, and `DatabaseAway` if neither database nor spool can store it.
        """
        if event.key_version is not None:
            return self._spool(event)  # the replay checks whether the key was retired
        try:
            event = self._recorder.resolve(event)
            if deferred and (received := self._defer(event)):
                return received
            recorded = self._recorder.record(event)
        except DatabaseRejected as rejected:
            return self._spool(event, rejected.reason)
        except DatabaseError as error:
            if not isinstance(error, DatabaseAway):
                # No traceback: it is the same for each delivery, and the log may share a disk with the spool.
                _log.critical("the database cannot store deliveries: %s", type(error.__cause__).__name__)
            return self._spool(event)
        return ReceivedDelivery(recorded.client_id, recorded.call_id, recorded.status)

    def _defer(self, event: CallEvent) -> ReceivedDelivery | None:
        """Returns None if the spool refuses deferred deliveries. The delivery is then recorded at once."""
        try:
            self._append(event, Lane.DEFERRED)
        except SpoolError as error:
            _log.warning("a delivery over its client's limit is recorded at once: %s", error)
            return None
        return _counted(event, "deferred")

    def _spool(self, event: CallEvent, reason: str | None = None) -> ReceivedDelivery:
        try:
            self._append(event, Lane.AWAY, reason)
        except SpoolError as error:
            _log.critical("a delivery could be stored neither in the database nor on the spool: %s", error)
            raise DatabaseAway("The delivery could not be stored") from error
        if reason:
            _log.error("a delivery was put into quarantine: %s", reason)
        return _counted(event, "quarantined" if reason else "spooled")

    def _append(self, event: CallEvent, lane: Lane, reason: str | None = None) -> None:
        self._journal.append(
            frame.dump(event), client_id=event.client_id, lane=lane, arrived_at=event.arrival.at, reason=reason
        )


def _counted(event: CallEvent, result: str) -> ReceivedDelivery:
    metrics.DELIVERIES.labels(event.route.value, result).inc()
    call_id = event.call_id(event.client_id) if event.client_id else None
    return ReceivedDelivery(event.client_id, call_id, event.view.status.value)
