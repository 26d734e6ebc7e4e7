"""The routes under `/api/audit`: lists, shows, counts and exports audit entries."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, request

from calyapp import validation
from calyapp.errors import NotFoundError
from calyapp.services import Services
from calyapp.web.api.exports import Export, ExportSchema
from calyapp.web.api.records import Records, own_tenant, tenant_for
from calyapp.web.api.streaming import Stream
from calyapp.web.routing import Access, JsonObject, Profile
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.record_responses import CountsSchema, EventSchema, EventsPageSchema
from calyapp.web.schemas.requests import EventIdSchema, EventsSchema, StatsSchema

DEFAULT_SPAN = timedelta(days=30)
_EVENT = EventSchema()
_COUNTS = CountsSchema()
_LIST = Operation(answer=in_json(EventsPageSchema), query=EventsSchema)
_SHOW = Operation(answer=in_json(EventSchema), path=EventIdSchema)
_STATS = Operation(answer=in_json(CountsSchema), query=StatsSchema)
_TABLE = {"type": "string", "description": "A header with the names of the fields, then one line for each entry"}
_EXPORT = Operation(answer={"application/x-ndjson": EventSchema, "text/csv": _TABLE}, query=ExportSchema)


class Audit:
    """The views under `/api/audit`."""

    def __init__(self, services: Services) -> None:
        self._reader = services.event_reader
        self._counts = services.event_counts
        self._records = Records(services)
        self._export = Export(services, self._reader.page, _EVENT)

    def list(self) -> JsonObject:
        """Lists audit entries, newest first."""
        return self._records.page(EventsSchema(), self._reader.page, _EVENT.dump)

    def show(self, event_id: UUID) -> JsonObject:
        """Returns one audit entry."""
        row = self._reader.find(own_tenant(), event_id)
        if row is None:
            raise NotFoundError("There is no such audit event.")
        self._records.audit_access(row["client_id"])
        event: JsonObject = _EVENT.dump(row)
        return event

    def stats(self) -> JsonObject:
        """Counts audit events by type, severity, status and day.

        A throttled entry counts as many events as its `metadata.count` says.
        """
        parameters = validation.load(StatsSchema(), request.args)
        client_id, until = parameters.get("client_id"), parameters["until"]
        since = parameters.get("since", until - DEFAULT_SPAN)
        tenant = tenant_for(client_id)
        counts: JsonObject = _COUNTS.dump(self._counts.read(tenant, client_id, since, until))
        self._records.audit_access(tenant)
        return counts

    def export(self) -> Stream:
        """Exports audit entries as a file, newest first."""
        return self._export.response()


def blueprint(services: Services) -> Blueprint:
    """Returns the routes."""
    routes = Blueprint("audit", __name__, url_prefix="/api/audit")
    views = Audit(services)
    signed_in: dict[str, Any] = {"access": Access.SIGNED_IN, "limit": Profile.API}
    routes.add_url_rule("/events", "list", views.list, operation=_LIST, **signed_in)
    routes.add_url_rule("/events/<uuid:event_id>", "show", views.show, operation=_SHOW, **signed_in)
    routes.add_url_rule("/stats", "stats", views.stats, operation=_STATS, **signed_in)
    routes.add_url_rule("/export", "export", views.export, operation=_EXPORT, **signed_in)
    return routes
