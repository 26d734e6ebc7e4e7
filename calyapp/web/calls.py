"""The records of calls, for people and programs."""

from typing import Any

from flask import Blueprint

from calyapp import clock
from calyapp.db.keyset import Row
from calyapp.errors import NotFoundError
from calyapp.services import Services
from calyapp.web.records import Answer, Records, own_tenant
from calyapp.web.routing import Access, Profile
from calyapp.web.sanitizers import CONTROL_CHARACTERS
from calyapp.web.schemas import CallsSchema


class Calls:
    """The views under `/api/calls`."""

    def __init__(self, services: Services) -> None:
        self._reader = services.call_reader
        self._records = Records(services)

    def list(self) -> Answer:
        """The newest first."""
        return self._records.page(CallsSchema(), self._reader.page, _shown)

    def show(self, name: str) -> Answer:
        """One, by its id or CallSid, with its timeline."""
        # No name has one, and PostgreSQL takes no NUL.
        found = None if CONTROL_CHARACTERS.search(name) else self._reader.find(own_tenant(), name)
        if found is None:
            raise NotFoundError("There is no such call.")
        self._records.note_access(found.call["client_id"])
        timeline = [_shown_delivery(delivery) for delivery in found.timeline]
        return _shown(found.call) | {"timeline": timeline, "timelineTruncated": found.is_truncated}


def blueprint(services: Services) -> Blueprint:
    """The routes."""
    routes = Blueprint("calls", __name__, url_prefix="/api/calls")
    views = Calls(services)
    known: dict[str, Any] = {"access": Access.SIGNED_IN, "limit": Profile.API}
    routes.add_url_rule("", "list", views.list, **known)
    routes.add_url_rule("/<name>", "show", views.show, **known)
    return routes


def _shown(call: Row) -> Answer:
    return {
        "id": str(call["id"]),
        "clientId": str(call["client_id"]),
        "callSid": call["call_sid"],
        "status": call["status"],
        "outcome": call["outcome"],
        "direction": call["direction"],
        "from": call["phone_from"],
        "to": call["phone_to"],
        "startTime": clock.iso(call["start_ts"]) if call["start_ts"] else None,
        "endTime": clock.iso(call["end_ts"]) if call["end_ts"] else None,
        "durationSeconds": call["duration_seconds"],
        "recordingUrl": call["recording_url"],
        "createdAt": clock.iso(call["created_at"]),
        "updatedAt": clock.iso(call["updated_at"]),
    }


def _shown_delivery(delivery: Row) -> Answer:
    return {
        "route": delivery["route"],
        "receivedAt": clock.iso(delivery["received_at"]),
        "repeats": delivery["repeats"],
        "parameters": delivery["payload"],
    }
