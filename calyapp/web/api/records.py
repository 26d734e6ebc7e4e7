"""What all views of records share: the tenant, pages, and the audit entry about who read them."""

from collections.abc import Callable
from uuid import UUID

from flask import g, request
from marshmallow import Schema

from calyapp import validation
from calyapp.access.principal import Principal, Role
from calyapp.audit.events import EventType
from calyapp.db import tenancy
from calyapp.db.keyset import Row
from calyapp.db.tenancy import Tenant
from calyapp.services import Services
from calyapp.web.api.cursors import Cursors, ReadPage
from calyapp.web.pipeline.request_audit import request_entry
from calyapp.web.routing import JsonObject


class Records:
    """Reads records on behalf of the principal."""

    def __init__(self, services: Services) -> None:
        self._cursors = Cursors(services.settings.secret_key.reveal())
        self._access_audit_log = services.access_audit_log

    def page(self, schema: Schema, read: ReadPage, show: Callable[[Row], JsonObject]) -> JsonObject:
        """Returns the page of the list that the query string describes. Raises `ValidationError`."""
        parameters = validation.load(schema, request.args)
        tenant = tenant_for(parameters.get("client_id"))
        page = self._cursors.page(request.endpoint or "", tenant, parameters, read, show)
        self.audit_access(tenant)
        return page

    def audit_access(self, tenant: Tenant | None) -> None:
        """Audits that an admin or auditor read one client's records, at most once a minute for each route."""
        principal: Principal = g.principal
        if principal.role is Role.CLIENT or not isinstance(tenant, UUID):
            return
        kind = ("accessed", str(principal.id), str(request.endpoint), str(tenant))
        metadata = {"principal": principal.shown}
        entry = request_entry(
            EventType.DATA_ACCESSED, "A client's records were read", client_id=tenant, metadata=metadata
        )
        self._access_audit_log.record(kind, entry)


def own_tenant() -> Tenant:
    """Returns the tenant whose records the principal may read."""
    return tenant_for(None)


def tenant_for(client_id: UUID | None) -> Tenant:
    """Returns the tenant of a request for the records of one client, or of all if None.

    A principal of one client always gets that client, so a request for another client's records returns none.
    """
    principal: Principal = g.principal
    return principal.client_id or client_id or tenancy.ALL
