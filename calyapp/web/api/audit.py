"""The audit trail, for people and programs."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, request

from calyapp import validation
from calyapp.errors import NotFoundError
from calyapp.services import Services
from calyapp.web.api.exports import Export, ExportSchema
from calyapp.web.api.records import Answer, Records, own_tenant, tenant_of
from calyapp.web.api.streaming import Stream
from calyapp.web.routing import Access, Profile
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.record_responses import CountsSchema, EventSchema, EventsPageSchema
from calyapp.web.schemas.requests import EventIdSchema, EventsSchema, StatsSchema

DEFAULT_SPAN = timedelta(days=30)
_SHOWN = EventSchema()
_COUNTED = CountsSchema()
_LIST = Operation(answer=in_json(EventsPageSchema), query=EventsSchema)
_SHOW = Operation(answer=in_json(EventSchema), path=EventIdSchema)
_STATS = Operation(answer=in_json(CountsSchema), query=StatsSchema)
_TABLE = {"type": "string", "description": "A line with the names of an entry's members, and a line for each entry"}
_EXPORT = Operation(answer={"application/x-ndjson": EventSchema, "text/csv": _TABLE}, query=ExportSchema)


class Audit:
    """The views under `/api/audit`."""

    def __init__(self, services: Services) -> None:
        self._reader = services.event_reader
        self._counts = services.event_counts
        self._records = Records(services)
        self._export = Export(services, self._reader.page, _SHOWN)

    def list(self) -> Answer:
        """Lists entries of the audit trail, the newest first."""
        return self._records.page(EventsSchema(), self._reader.page, _SHOWN.dump)

    def show(self, event_id: UUID) -> Answer:
        """Shows one entry."""
        found = self._reader.find(own_tenant(), event_id)
        if found is None:
            raise NotFoundError("There is no such audit event.")
        self._records.note_access(found["client_id"])
        shown: Answer = _SHOWN.dump(found)
        return shown

    def stats(self) -> Answer:
        """Counts occurrences by type, severity, status and day; a throttled entry counts as its `metadata.count`."""
        asked = validation.load(StatsSchema(), request.args)
        client_id, until = asked.get("client_id"), asked["until"]
        since = asked.get("since", until - DEFAULT_SPAN)
        tenant = tenant_of(client_id)
        shown: Answer = _COUNTED.dump(self._counts.read(tenant, client_id, since, until))
        self._records.note_access(tenant)
        return shown

    def export(self) -> Stream:
        """Exports entries as a file, the newest first."""
        return self._export.response()


def blueprint(services: Services) -> Blueprint:
    """The routes."""
    routes = Blueprint("audit", __name__, url_prefix="/api/audit")
    views = Audit(services)
    known: dict[str, Any] = {"access": Access.SIGNED_IN, "limit": Profile.API}
    routes.add_url_rule("/events", "list", views.list, operation=_LIST, **known)
    routes.add_url_rule("/events/<uuid:event_id>", "show", views.show, operation=_SHOW, **known)
    routes.add_url_rule("/stats", "stats", views.stats, operation=_STATS, **known)
    routes.add_url_rule("/export", "export", views.export, operation=_EXPORT, **known)
    return routes
