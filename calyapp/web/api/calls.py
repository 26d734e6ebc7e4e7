"""The routes under `/api/calls`: lists, shows and imports calls."""

from typing import Any

from flask import Blueprint

from calyapp.access.principal import Role
from calyapp.errors import NotFoundError
from calyapp.services import Services
from calyapp.web.api import imports
from calyapp.web.api.imports import Imports, ImportSchema
from calyapp.web.api.records import Records, own_tenant
from calyapp.web.api.streaming import Stream
from calyapp.web.routing import Access, JsonObject, Profile
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.record_responses import CallSchema, CallsPageSchema, CallWithTimelineSchema, ImportReportSchema
from calyapp.web.schemas.requests import CallNameSchema, CallsSchema
from calyapp.web.schemas.sanitizers import CONTROL_CHARACTERS

_CALL = CallSchema()
_CALL_WITH_TIMELINE = CallWithTimelineSchema()
_LIST = Operation(answer=in_json(CallsPageSchema), query=CallsSchema)
_SHOW = Operation(answer=in_json(CallWithTimelineSchema), path=CallNameSchema)
_IMPORT = Operation(answer=in_json(ImportReportSchema), query=ImportSchema, body=imports.BODY, refusals=(404,))


class Calls:
    """The views under `/api/calls`."""

    def __init__(self, services: Services) -> None:
        self._reader = services.call_reader
        self._records = Records(services)
        self._imports = Imports(services)

    def list(self) -> JsonObject:
        """Lists calls, newest first."""
        return self._records.page(CallsSchema(), self._reader.page, _CALL.dump)

    def import_cdr(self) -> Stream:
        """Imports a CDR export of Exotel (CSV).

        Adds the calls that are missing, and completes calls that are already recorded.
        """
        return self._imports.response()

    def show(self, name: str) -> JsonObject:
        """Returns one call, by its id or CallSid, with the timeline of its deliveries."""
        # No name contains control characters, and PostgreSQL refuses NUL.
        call = None if CONTROL_CHARACTERS.search(name) else self._reader.find(own_tenant(), name)
        if call is None:
            raise NotFoundError("There is no such call.")
        self._records.audit_access(call.call["client_id"])
        shown: JsonObject = _CALL_WITH_TIMELINE.dump(call)
        return shown


def blueprint(services: Services) -> Blueprint:
    """Returns the routes."""
    routes = Blueprint("calls", __name__, url_prefix="/api/calls")
    views = Calls(services)
    signed_in: dict[str, Any] = {"access": Access.SIGNED_IN, "limit": Profile.API}
    routes.add_url_rule("", "list", views.list, operation=_LIST, **signed_in)
    routes.add_url_rule(
        "/import",
        "import",
        views.import_cdr,
        methods=["POST"],
        access=Access.SIGNED_IN,
        roles=frozenset({Role.ADMIN, Role.CLIENT}),
        limit=Profile.UPLOAD,
        max_bytes=imports.MAX_BODY_BYTES,
        operation=_IMPORT,
    )
    routes.add_url_rule("/<name>", "show", views.show, operation=_SHOW, **signed_in)
    return routes
