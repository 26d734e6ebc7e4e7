"""What all views of records share: whose they show, page by page, and that it is on the trail who looked at them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import g, request
from marshmallow import Schema

from calyapp import validation
from calyapp.access.principal import Principal, Role
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.db import tenancy
from calyapp.db.keyset import Row
from calyapp.db.tenancy import Tenant
from calyapp.services import Services
from calyapp.web.api.cursors import Cursors, ReadPage
from calyapp.web.pipeline.proxy import client_address

Answer = dict[str, Any]


class Records:
    """Reads in the name of whoever asks."""

    def __init__(self, services: Services) -> None:
        self._cursors = Cursors(services.settings.secret_key.reveal())
        self._access_audit_log = services.access_audit_log

    def page(self, schema: Schema, read: ReadPage, show: Callable[[Row], Answer]) -> Answer:
        """A page of the list that the query string asks for. Raises `ValidationError`."""
        asked = validation.load(schema, request.args)
        tenant = tenant_of(asked.get("client_id"))
        page = self._cursors.page(request.endpoint or "", tenant, asked, read, show)
        self.note_access(tenant)
        return page

    def note_access(self, read: Tenant | None) -> None:
        """Put on the trail that an admin or auditor read one client's records; no more than once a minute and route."""
        principal: Principal = g.principal
        if principal.role is Role.CLIENT or not isinstance(read, UUID):
            return
        kind = ("accessed", str(principal.id), str(request.endpoint), str(read))
        self._access_audit_log.record(kind, _entry(principal, read))


def own_tenant() -> Tenant:
    """Whose records they see who ask."""
    return tenant_of(None)


def tenant_of(asked_for: UUID | None) -> Tenant:
    """Whose records they see who ask for a client's, or for those of all.

    Who sees one client stays with it, whatever is asked for: of another there is nothing to see then.
    """
    principal: Principal = g.principal
    return principal.client_id or asked_for or tenancy.ALL


def _entry(principal: Principal, client_id: UUID) -> Entry:
    return Entry.now(
        EventType.DATA_ACCESSED,
        "A client's records were read",
        client_id=client_id,
        user_id=principal.user_id,
        resource="route",
        resource_id=request.url_rule.rule if request.url_rule else None,
        ip_address=client_address(),
        request_id=g.request_id,
        metadata={"principal": principal.shown},
    )
