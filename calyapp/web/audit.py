"""The audit trail, for people and programs."""

from typing import Any
from uuid import UUID

from flask import Blueprint

from calyapp import clock
from calyapp.db.keyset import Row
from calyapp.errors import NotFoundError
from calyapp.services import Services
from calyapp.web.records import Answer, Records, own_tenant
from calyapp.web.routing import Access, Profile
from calyapp.web.schemas import EventsSchema


class Audit:
    """The views under `/api/audit`."""

    def __init__(self, services: Services) -> None:
        self._reader = services.event_reader
        self._records = Records(services)

    def list(self) -> Answer:
        """The newest first."""
        return self._records.page(EventsSchema(), self._reader.page, _shown)

    def show(self, event_id: UUID) -> Answer:
        """One of them."""
        found = self._reader.find(own_tenant(), event_id)
        if found is None:
            raise NotFoundError("There is no such audit event.")
        self._records.note_access(found["client_id"])
        return _shown(found)


def blueprint(services: Services) -> Blueprint:
    """The routes."""
    routes = Blueprint("audit", __name__, url_prefix="/api/audit")
    views = Audit(services)
    known: dict[str, Any] = {"access": Access.SIGNED_IN, "limit": Profile.API}
    routes.add_url_rule("/events", "list", views.list, **known)
    routes.add_url_rule("/events/<uuid:event_id>", "show", views.show, **known)
    return routes


def _shown(entry: Row) -> Answer:
    return {
        "id": str(entry["id"]),
        "createdAt": clock.iso(entry["created_at"]),
        "eventType": entry["event_type"],
        "severity": entry["severity"],
        "status": entry["status"],
        "clientId": _text(entry["client_id"]),
        "callId": _text(entry["call_id"]),
        "userId": _text(entry["user_id"]),
        "description": entry["description"],
        "resource": entry["resource"],
        "resourceId": entry["resource_id"],
        "changes": entry["changes"],
        "ipAddress": _text(entry["ip_address"]),
        "userAgent": entry["user_agent"],
        "requestId": entry["request_id"],
        "metadata": entry["metadata"],
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
