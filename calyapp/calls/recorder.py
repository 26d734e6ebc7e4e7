"""Records events. Webhooks, the replay of the spool and CSV imports all use `Recorder.record`."""

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
    """A delivery in the database, with its client, its call, and the status of the call (None for a heartbeat)."""

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
        """Records the delivery. A repeated delivery changes nothing.

        Raises `NotFoundError` if no client owns it, `DatabaseRejected` if its content can never be stored, and
        `DatabaseAway` or `DatabaseError` if it can be stored later.
        """
        client_id = event.client_id or self._owner(event)
        written = self._write(event, client_id)
        metrics.DELIVERIES.labels(event.route.value, "new" if written.is_new else "repeat").inc()
        if written.new_outcome:
            metrics.CALLS_ENDED.labels(written.new_outcome).inc()
        return RecordedDelivery(client_id, event.call_id(client_id), written.status, written.is_new)

    def resolve(self, event: CallEvent) -> CallEvent:
        """Returns the event with its client. Raises `NotFoundError`, `DatabaseAway` or `DatabaseError`."""
        return event if event.client_id else replace(event, client_id=self._owner(event))

    def probe(self) -> None:
        """If the breaker is open, records trial deliveries and rolls them back. Closes the breaker if they succeed.

        A background task calls this, so that no delivery has to wait for a probe.
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
        # The connection was opened before the server restarted. Trying again is safe: if the first attempt was
        # committed, the second one is a repeat.
        with self._pool.connection() as connection:
            return store.write(connection, event, client_id, entry)

    def _owner(self, event: CallEvent) -> UUID:
        """Returns the owner of the dialled number, or of the only call with this CallSid. Raises `NotFoundError`."""
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
    """Returns deliveries that use each path of the recording statement: a new call, a further delivery, and a repeat.

    So a trial fails for every reason for which a delivery would fail. The client and the call do not exist, so that a
    trial neither waits for the lock of a real call nor blocks one.
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
