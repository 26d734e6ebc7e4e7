"""Reads the audit log, restricted to what a tenant can see."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from calyapp.db import keyset, tenancy
from calyapp.db.engine import Pool
from calyapp.db.keyset import Page, Place, Row
from calyapp.db.tables import audit_logs
from calyapp.db.tenancy import Tenant


class EventReader:
    """Reads the audit entries that a tenant can see."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(self, tenant: Tenant, filters: Mapping[str, Any], after: Place | None, limit: int) -> Page:
        """Returns the newest entries after a place. Filters are those of `keyset.conditions`."""
        conditions = keyset.conditions(audit_logs, tenant, filters)
        with tenancy.reading(self._pool, tenant) as connection:
            return keyset.read(connection, audit_logs, [*conditions], after, limit)

    def find(self, tenant: Tenant, event_id: UUID) -> Row | None:
        """Returns the entry with this id, or None if the tenant has none."""
        rows = self.page(tenant, {"id": event_id}, None, 1).rows
        return rows[0] if rows else None
