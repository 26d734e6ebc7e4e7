"""The routes under `/webhooks/exotel`. Exotel acts on each answer; a 2xx means that the delivery is on disk."""

from dataclasses import replace
from uuid import UUID

from flask import Blueprint, g, request

from calyapp import clock
from calyapp.calls.event import Arrival, Route
from calyapp.calls.receiver import ReceivedDelivery
from calyapp.clients.store import Client
from calyapp.errors import DatabaseError, NotFoundError
from calyapp.exotel import payload
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.pipeline.proxy import client_address
from calyapp.web.pipeline.request_audit import user_agent
from calyapp.web.routing import Access, JsonObject, Profile
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.requests import HeartbeatSchema, NewsSchema
from calyapp.web.schemas.responses import BaseResponseSchema, DoneSchema
from calyapp.web.schemas.service_responses import RecordedAnswerSchema, StatusAnswerSchema, StreamAnswerSchema

_ANSWERS: dict[Route, type[BaseResponseSchema]] = {
    Route.CALL_START: StreamAnswerSchema,
    Route.CALL_STATUS: StatusAnswerSchema,
    Route.CALL_END: RecordedAnswerSchema,
}


class Webhooks:
    """The views under `/webhooks/exotel`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def call_start(self) -> JsonObject:
        """Records the start of a call, and returns the URL of the voice agent's audio stream.

        For the dynamic URL of a Voicebot or Stream applet, and for the first Passthru of a flow.
        """
        received = self._receive(Route.CALL_START)
        if received.client_id is None or received.call_id is None:
            # The delivery is on the spool until its owner is known. Without a client there is no stream.
            raise NotFoundError("Client not found")
        return self._services.answers.stream(received.call_id, self._client(received.client_id), clock.now())

    def call_status(self) -> JsonObject:
        """Records a status report about a call, and returns the call's status."""
        return {"success": True, "status": self._receive(Route.CALL_STATUS).status}

    def call_end(self) -> JsonObject:
        """Records the end of a call."""
        self._receive(Route.CALL_END)
        return {"success": True, "message": "Call recorded"}

    def recording(self) -> JsonObject:
        """Records that a recording is available."""
        return self._acknowledge(Route.RECORDING)

    def passthru(self) -> JsonObject:
        """Records the parameters of any other Passthru in a flow."""
        return self._acknowledge(Route.PASSTHRU)

    def heartbeat(self) -> JsonObject:
        """Records a Heartbeat notification about the client's numbers."""
        return self._acknowledge(Route.HEARTBEAT)

    def _acknowledge(self, route: Route) -> JsonObject:
        self._receive(route)
        return {"success": True}

    def _receive(self, route: Route) -> ReceivedDelivery:
        event = payload.load(route, parameters.read(request), _arrival(), g.client_id)
        received = self._services.receiver.receive(
            replace(event, key_version=g.unconfirmed_key_version), deferred=g.is_over_limit
        )
        g.client_id, g.call_id = received.client_id, received.call_id
        return received

    def _client(self, client_id: UUID) -> Client | None:
        """Returns the client. None, for the default greeting, if it is not in memory and the database is away."""
        try:
            return self._services.directory.client(client_id)
        except DatabaseError:
            return None


def blueprint(services: Services) -> Blueprint:
    """Returns the routes: GET and POST, with and without a slash at the end.

    None redirects, because a synchronous Passthru reads a redirect as a decision of the flow
    (docs/exotel-protocol.md, section 3.3).
    """
    routes = Blueprint("webhooks", __name__, url_prefix="/webhooks/exotel")
    views = Webhooks(services)
    views_by_route = {
        Route.CALL_START: views.call_start,
        Route.CALL_STATUS: views.call_status,
        Route.CALL_END: views.call_end,
        Route.RECORDING: views.recording,
        Route.PASSTHRU: views.passthru,
        Route.HEARTBEAT: views.heartbeat,
    }
    for route, view in views_by_route.items():
        for path in (f"/{route}", f"/{route}/"):
            routes.add_url_rule(
                path,
                view.__name__,
                view,
                methods=["GET", "POST"],
                strict_slashes=False,
                access=Access.WEBHOOK_KEY,
                limit=Profile.WEBHOOK,
                operation=_operation(route),
            )
    routes.before_request(_answer_head)
    return routes


def _operation(route: Route) -> Operation:
    parameters_schema = HeartbeatSchema if route is Route.HEARTBEAT else NewsSchema
    return Operation(answer=in_json(_ANSWERS.get(route, DoneSchema)), query_or_body=parameters_schema, refusals=(404,))


def _answer_head() -> JsonObject | None:
    """Answers HEAD without recording it: it only asks whether the address exists."""
    return {} if request.method == "HEAD" else None


def _arrival() -> Arrival:
    moment = clock.now()
    return Arrival(
        at=moment,
        audit_id=clock.uuid7(moment),
        request_id=g.request_id,
        ip_address=client_address(),
        user_agent=user_agent(),
    )
