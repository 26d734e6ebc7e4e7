"""The one door for news of calls: whoever has a delivery, a replay or a correction brings it to `record`."""

from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from calyapp import clock, metrics, phone
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.calls import store
from calyapp.calls.event import Arrival, CallEvent, Route, digest
from calyapp.calls.state import CallView, Phase
from calyapp.clients.directory import CLIENT_DISABLED_MESSAGE, Directory
from calyapp.db.engine import Pool
from calyapp.errors import DatabaseAway, NotFoundError

_NO_CLIENT = UUID(int=0)
_TYPES = {
    Route.CALL_START: (EventType.CALL_STARTED, "Call started"),
    Route.CALL_STATUS: (EventType.CALL_STATUS_CHANGED, "Call status reported"),
    Route.CALL_END: (EventType.CALL_ENDED, "Call ended"),
    Route.RECORDING: (EventType.RECORDING_RECEIVED, "Recording announced"),
    Route.PASSTHRU: (EventType.DELIVERY_RECEIVED, "Flow reported"),
    Route.HEARTBEAT: (EventType.HEARTBEAT_RECEIVED, "Heartbeat received"),
    Route.CDR: (EventType.CALL_IMPORTED, "Call imported"),
}


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    """A delivery that is on disk: whose it is, its call and the call's status now (None for a heartbeat)."""

    client_id: UUID
    call_id: UUID | None
    status: str | None
    is_new: bool


class Recorder:
    """Records deliveries in PostgreSQL."""

    def __init__(self, pool: Pool, directory: Directory) -> None:
        self._pool = pool
        self._directory = directory

    def record(self, event: CallEvent) -> RecordedDelivery:
        """Put the delivery on record, once however often it comes.

        Raises `NotFoundError` if nobody owns it, `DatabaseRejected` if its content cannot be stored, `DatabaseAway`
        or `DatabaseError` if it can be stored later.
        """
        client_id = event.client_id or self._owner(event)
        written = self._write(event, client_id)
        metrics.DELIVERIES.labels(event.route.value, "new" if written.is_new else "repeat").inc()
        if written.ended:
            metrics.CALLS_ENDED.labels(written.ended).inc()
        return RecordedDelivery(client_id, event.call_id(client_id), written.status, written.is_new)

    def resolve(self, event: CallEvent) -> CallEvent:
        """The event with its client. Raises as `record` does where nobody owns it or nobody can be asked."""
        return event if event.client_id else replace(event, client_id=self._owner(event))

    def probe(self) -> None:
        """If the breaker is open, record trial deliveries and roll them back, to see whether it can close.

        For a periodic task: no delivery waits for it.
        """
        self._pool.try_again(lambda connection: store.write_trial(connection, _trials(), _NO_CLIENT))

    def _write(self, event: CallEvent, client_id: UUID) -> store.WrittenDelivery:
        entry = _entry(event, client_id)
        try:
            with self._pool.connection() as connection:
                return store.write(connection, event, client_id, entry)
        except DatabaseAway as away:
            if not away.connection_lost:
                raise
        # A connection from before the server restarted. Trying once more is safe: if the first try did get
        # through, the second is a repeat.
        with self._pool.connection() as connection:
            return store.write(connection, event, client_id, entry)

    def _owner(self, event: CallEvent) -> UUID:
        """Without a key: the owner of the number that was dialled, else of the only call with this CallSid."""
        number = phone.e164(event.dialled) if event.dialled else None
        if number and (client := self._directory.owner(number)):
            return client.id
        if event.call_sid:
            with self._pool.connection() as connection:
                owners = store.owners(connection, event.call_sid)
            if len(owners) == 1 and self._directory.client(owners[0]):
                return owners[0]
        if number and self._directory.is_disabled(number):
            raise NotFoundError(CLIENT_DISABLED_MESSAGE)
        raise NotFoundError("Client not found")


def _trials() -> list[tuple[CallEvent, Entry]]:
    """Deliveries that take the recording statement through each of its three ways: a new call, news of a known call,
    and a repeat. So a trial fails for every reason for which a delivery would fail.

    The client and the call do not exist: a trial waits for no row of a real call, and holds none up.
    """
    call_sid = f"trial-{uuid4()}"
    first, second = _trial(call_sid, Phase.RINGING), _trial(call_sid, Phase.OVER)
    return [(event, _entry(event, _NO_CLIENT)) for event in (first, second, first)]


def _trial(call_sid: str, phase: Phase) -> CallEvent:
    moment = clock.now()
    parameters = [("CallSid", call_sid), ("Status", phase.value)]
    return CallEvent(
        route=Route.CALL_STATUS,
        parameters=parameters,
        digest=digest(Route.CALL_STATUS, parameters),
        arrival=Arrival(at=moment, audit_id=clock.uuid7(moment)),
        client_id=_NO_CLIENT,
        call_sid=call_sid,
        view=CallView(phase=phase),
    )


def _entry(event: CallEvent, client_id: UUID) -> Entry:
    type_, description = _TYPES[event.route]
    if event.route is Route.CALL_STATUS and event.view.phase is Phase.OVER:
        type_, description = _TYPES[Route.CALL_END]
    call_id = event.call_id(client_id)
    return Entry(
        id=event.arrival.audit_id,
        created_at=event.arrival.at,
        event_type=type_,
        description=description,
        client_id=client_id,
        call_id=call_id,
        resource="call" if call_id else "client",
        resource_id=str(call_id or client_id),
        ip_address=event.arrival.ip_address,
        user_agent=event.arrival.user_agent,
        request_id=event.arrival.request_id,
        metadata={"route": event.route.value, "callSid": event.call_sid, "digest": event.digest.hex()},
    )
