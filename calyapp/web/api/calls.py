"""The records of calls, for people and programs."""

from typing import Any

from flask import Blueprint

from calyapp.access.principal import Role
from calyapp.errors import NotFoundError
from calyapp.services import Services
from calyapp.web.api import imports
from calyapp.web.api.imports import Imports, ImportSchema
from calyapp.web.api.records import Answer, Records, own_tenant
from calyapp.web.api.streaming import Stream
from calyapp.web.routing import Access, Profile
from calyapp.web.schemas.operations import Operation, in_json
from calyapp.web.schemas.record_responses import CallSchema, CallsPageSchema, CallWithTimelineSchema, ImportReportSchema
from calyapp.web.schemas.requests import CallNameSchema, CallsSchema
from calyapp.web.schemas.sanitizers import CONTROL_CHARACTERS

_SHOWN = CallSchema()
_SHOWN_WITH_TIMELINE = CallWithTimelineSchema()
_LIST = Operation(answer=in_json(CallsPageSchema), query=CallsSchema)
_SHOW = Operation(answer=in_json(CallWithTimelineSchema), path=CallNameSchema)
_IMPORT = Operation(answer=in_json(ImportReportSchema), query=ImportSchema, body=imports.BODY, refusals=(404,))


class Calls:
    """The views under `/api/calls`."""

    def __init__(self, services: Services) -> None:
        self._reader = services.call_reader
        self._records = Records(services)
        self._imports = Imports(services)

    def list(self) -> Answer:
        """Lists calls, the newest first."""
        return self._records.page(CallsSchema(), self._reader.page, _SHOWN.dump)

    def take(self) -> Stream:
        """Records the calls of a CDR export (CSV): the missing, and what is unknown of the others."""
        return self._imports.response()

    def show(self, name: str) -> Answer:
        """Shows one call, by its id or CallSid, with its timeline of deliveries."""
        # No name has one, and PostgreSQL takes no NUL.
        found = None if CONTROL_CHARACTERS.search(name) else self._reader.find(own_tenant(), name)
        if found is None:
            raise NotFoundError("There is no such call.")
        self._records.note_access(found.call["client_id"])
        shown: Answer = _SHOWN_WITH_TIMELINE.dump(found)
        return shown


def blueprint(services: Services) -> Blueprint:
    """The routes."""
    routes = Blueprint("calls", __name__, url_prefix="/api/calls")
    views = Calls(services)
    known: dict[str, Any] = {"access": Access.SIGNED_IN, "limit": Profile.API}
    routes.add_url_rule("", "list", views.list, operation=_LIST, **known)
    routes.add_url_rule(
        "/import",
        "import",
        views.take,
        methods=["POST"],
        access=Access.SIGNED_IN,
        roles=frozenset({Role.ADMIN, Role.CLIENT}),
        limit=Profile.UPLOAD,
        max_bytes=imports.MAX_BODY_BYTES,
        operation=_IMPORT,
    )
    routes.add_url_rule("/<name>", "show", views.show, operation=_SHOW, **known)
    return routes
