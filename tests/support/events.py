"""Events for tests."""

from datetime import UTC, datetime
from uuid import uuid4

from calyapp import clock
from calyapp.calls.event import Arrival, CallEvent, Route, digest
from calyapp.calls.state import CallView, Phase


def event(**overrides) -> CallEvent:
    """Returns an event of a ringing call. By default the call is new and has no client."""
    moment = datetime.now(UTC)
    call_sid = uuid4().hex
    known = {
        "route": Route.CALL_STATUS,
        "parameters": [("CallSid", call_sid)],
        "digest": digest(Route.CALL_STATUS, [("CallSid", call_sid)]),
        "arrival": Arrival(at=moment, audit_id=clock.uuid7(moment)),
        "client_id": None,
        "call_sid": call_sid,
        "view": CallView(phase=Phase.RINGING),
    }
    return CallEvent(**{**known, **overrides})
