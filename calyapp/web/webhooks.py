"""Exotel in, stream instructions out. Each answer is what Exotel acts on; a 2xx says that the delivery is on disk."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Blueprint, g, request

from calyapp import clock, redact
from calyapp.calls.event import Arrival, Route
from calyapp.calls.receiver import ReceivedDelivery
from calyapp.clients.store import Client
from calyapp.errors import DatabaseError, NotFoundError
from calyapp.exotel import payload
from calyapp.services import Services
from calyapp.web import parameters
from calyapp.web.pipeline.proxy import client_address
from calyapp.web.routing import Access, Profile
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.requests import HeartbeatSchema, NewsSchema
from calyapp.web.schemas.responses import BaseResponseSchema, DoneSchema
from calyapp.web.schemas.service_responses import RecordedAnswerSchema, StatusAnswerSchema, StreamAnswerSchema

WEBHOOKS = tuple(route for route in Route if route is not Route.CDR)
_MAX_USER_AGENT_LENGTH = 512

_ANSWERS: dict[Route, type[BaseResponseSchema]] = {
    Route.CALL_START: StreamAnswerSchema,
    Route.CALL_STATUS: StatusAnswerSchema,
    Route.CALL_END: RecordedAnswerSchema,
}

Answer = dict[str, Any]


class Webhooks:
    """The views under `/webhooks/exotel`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def call_start(self) -> Answer:
        """Answers a call: says where the agent's audio is.

        For a Voicebot or Stream applet's dynamic URL, or a flow's first Passthru.
        """
        received = self._receive(Route.CALL_START)
        if received.client_id is None or received.call_id is None:
            # On the spool until its owner is known; to the caller there is nothing to say before.
            raise NotFoundError("Client not found")
        return self._services.answers.stream(received.call_id, self._known(received.client_id), clock.now())

    def call_status(self) -> Answer:
        """Takes what Exotel reports of a call under way, and says how the call stands."""
        return {"success": True, "status": self._receive(Route.CALL_STATUS).status}

    def call_end(self) -> Answer:
        """Takes that a call is over."""
        self._receive(Route.CALL_END)
        return {"success": True, "message": "Call recorded"}

    def recording(self) -> Answer:
        """Takes that a recording is there."""
        return self._acknowledge(Route.RECORDING)

    def passthru(self) -> Answer:
        """Takes what any other Passthru of a flow tells."""
        return self._acknowledge(Route.PASSTHRU)

    def heartbeat(self) -> Answer:
        """Takes a Heartbeat notification."""
        return self._acknowledge(Route.HEARTBEAT)

    def _acknowledge(self, route: Route) -> Answer:
        self._receive(route)
        return {"success": True}

    def _receive(self, route: Route) -> ReceivedDelivery:
        event = payload.load(route, parameters.read(request), _arrival(), g.client_id)
        received = self._services.receiver.receive(
            replace(event, key_version=g.unconfirmed_key_version), deferred=g.is_over_limit
        )
        g.client_id, g.call_id = received.client_id, received.call_id
        return received

    def _known(self, client_id: UUID) -> Client | None:
        """None where the database is away and the directory does not know the client: then the greeting is ours."""
        try:
            return self._services.directory.client(client_id)
        except DatabaseError:
            return None


def blueprint(services: Services) -> Blueprint:
    """The routes: GET and POST, with a slash at the end or without, and never a redirect, which would flip a flow."""
    routes = Blueprint("webhooks", __name__, url_prefix="/webhooks/exotel")
    views = Webhooks(services)
    for route in WEBHOOKS:
        endpoint = route.value.replace("-", "_")
        view = getattr(views, endpoint)
        for path in (f"/{route}", f"/{route}/"):
            routes.add_url_rule(
                path,
                endpoint,
                view,
                methods=["GET", "POST"],
                strict_slashes=False,
                access=Access.WEBHOOK_KEY,
                limit=Profile.WEBHOOK,
                operation=_operation(route),
            )
    routes.before_request(_leave_head_unrecorded)
    return routes


def _operation(route: Route) -> Operation:
    sent = HeartbeatSchema if route is Route.HEARTBEAT else NewsSchema
    return Operation(answer=in_json(_ANSWERS.get(route, DoneSchema)), query_or_body=sent, refusals=(404,))


def _leave_head_unrecorded() -> Answer | None:
    """HEAD asks whether somebody is there; it is no news of a call."""
    return {} if request.method == "HEAD" else None


def _arrival() -> Arrival:
    moment = clock.now()
    user_agent = redact.text(request.user_agent.string)[:_MAX_USER_AGENT_LENGTH]
    return Arrival(
        at=moment,
        audit_id=clock.uuid7(moment),
        request_id=g.request_id,
        ip_address=client_address(),
        user_agent=user_agent or None,
    )
