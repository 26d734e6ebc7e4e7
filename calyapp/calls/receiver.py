"""Where a delivery arrives: it is put on record, or, where that cannot be now, on the spool. Either way on disk."""

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
    """A delivery that is on disk, with what is known of it: its client and call, and the call's status.

    The status is the call's as it stands; for a delivery on the spool, what it reports by itself.
    """

    client_id: UUID | None
    call_id: UUID | None
    status: str | None


class Receiver:
    """Takes deliveries in for one process."""

    def __init__(self, recorder: Recorder, journal: Journal) -> None:
        self._recorder = recorder
        self._journal = journal

    def receive(self, event: CallEvent, *, deferred: bool = False) -> ReceivedDelivery:
        """Keep the delivery; `deferred` if its client sends more than it may, and the others go first.

        Raises `NotFoundError` if nobody owns it, `DatabaseAway` if neither database nor spool can take it.
        """
        if event.key_version is not None:
            return self._spool(event, Lane.AWAY)  # whether the key is still valid is for the replay to find out
        try:
            event = self._recorder.resolve(event)
            if deferred and (received := self._deferred(event)):
                return received
            recorded = self._recorder.record(event)
        except DatabaseRejected as rejected:
            return self._spool(event, Lane.AWAY, rejected.reason)
        except DatabaseError as error:
            if not isinstance(error, DatabaseAway):
                # No traceback: it is the same for each delivery, and the log may share the spool's disk.
                _log.critical("the database cannot store deliveries: %s", type(error.__cause__).__name__)
            return self._spool(event, Lane.AWAY)
        return ReceivedDelivery(recorded.client_id, recorded.call_id, recorded.status)

    def _deferred(self, event: CallEvent) -> ReceivedDelivery | None:
        """None where the spool has no room for deliveries that can do without: then they take the direct way."""
        try:
            self._keep(event, Lane.DEFERRED)
        except SpoolError as error:
            _log.warning("a delivery over its client's limit is recorded at once: %s", error)
            return None
        return _reported(event, "deferred")

    def _spool(self, event: CallEvent, lane: Lane, reason: str | None = None) -> ReceivedDelivery:
        try:
            self._keep(event, lane, reason)
        except SpoolError as error:
            _log.critical("a delivery fits neither into the database nor onto the spool: %s", error)
            raise DatabaseAway("The delivery could not be stored") from error
        if reason:
            _log.error("a delivery was put into quarantine: %s", reason)
        return _reported(event, "quarantined" if reason else "spooled")

    def _keep(self, event: CallEvent, lane: Lane, reason: str | None = None) -> None:
        self._journal.append(
            frame.dump(event), client_id=event.client_id, lane=lane, arrived_at=event.arrival.at, reason=reason
        )


def _reported(event: CallEvent, result: str) -> ReceivedDelivery:
    metrics.DELIVERIES.labels(event.route.value, result).inc()
    call_id = event.call_id(event.client_id) if event.client_id else None
    return ReceivedDelivery(event.client_id, call_id, event.view.status.value)
