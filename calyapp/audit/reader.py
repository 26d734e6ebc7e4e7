"""The trail, read for people and programs. Only what their tenant may see."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from calyapp.db import keyset, tenancy
from calyapp.db.engine import Pool
from calyapp.db.keyset import Page, Place, Row
from calyapp.db.tables import audit_logs
from calyapp.db.tenancy import Tenant


class EventReader:
    """Reads what a tenant may see of the trail."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(self, tenant: Tenant, filters: Mapping[str, Any], after: Place | None, limit: int) -> Page:
        """The newest entries after the place; filters as in `keyset.conditions`."""
        conditions = keyset.conditions(audit_logs, tenant, filters)
        with tenancy.reading(self._pool, tenant) as connection:
            return keyset.read(connection, audit_logs, [*conditions], after, limit)

    def find(self, tenant: Tenant, event_id: UUID) -> Row | None:
        """The entry; None if the tenant has none of this id."""
        found = self.page(tenant, {"id": event_id}, None, 1).rows
        return found[0] if found else None
