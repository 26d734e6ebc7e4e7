"""How often which kind of event occurred, by day (UTC): exact at the moment of reading, and only a tenant's own.

Occurrences are counted, not rows: a throttled entry stands for `metadata.count` of them. A trigger counts what each
statement adds; `fold` adds these small counts up. A reading takes both in one statement, which sees them at one moment:
whether they are folded or not makes no difference to it.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from uuid import UUID

from calyapp import clock
from calyapp.db import tenancy
from calyapp.db.engine import Pool
from calyapp.db.queries import named
from calyapp.db.tenancy import Tenant

FRESH_SECONDS = 60
_MAX_CACHED = 256
_LOCK = 0x63616C79_0002  # advisory: one process at a time folds


@dataclass(frozen=True, slots=True)
class Counts:
    """Occurrences by type, severity, status and day, as they were at `as_of`. A kind that did not occur is missing.

    From the day `since` on and before the day `until`.
    """

    since: date
    until: date
    as_of: datetime
    types: Mapping[str, int]
    severities: Mapping[str, int]
    statuses: Mapping[str, int]
    days: Mapping[date, int]


class EventCounts:
    """Counts, and remembers what it read for up to a minute."""

    def __init__(self, pool: Pool, seconds: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._seconds = seconds
        # The minute is part of what is asked for: in the next one nobody asks for it any more, and it makes room.
        self._remembered = lru_cache(_MAX_CACHED)(self._read)

    def read(self, tenant: Tenant, client_id: UUID | None, since: date, until: date) -> Counts:
        """Of what the tenant may see, of one client or all: from the day `since` on and before the day `until`."""
        return self._remembered(tenant, client_id, since, until, int(self._seconds() // FRESH_SECONDS))

    def fold(self) -> None:
        """Add what was counted meanwhile to the days. Does nothing while another process is at it."""
        with self._pool.transaction() as connection:
            if connection.scalar(_TRY_LOCK, {"key": _LOCK}):
                connection.execute(_FOLD)

    def _read(self, tenant: Tenant, client_id: UUID | None, since: date, until: date, _minute: int) -> Counts:
        only = tenant if isinstance(tenant, UUID) else None
        given = {"tenant": only, "client": client_id, "since": since, "until": until}
        as_of = clock.now()
        types, severities, statuses, days = Counter[str](), Counter[str](), Counter[str](), Counter[date]()
        with tenancy.reading(self._pool, tenant) as connection:
            for row in connection.execute(_COUNT, given):
                types[row.event_type] += row.entries
                severities[row.severity] += row.entries
                statuses[row.status] += row.entries
                days[row.day] += row.entries
        return Counts(since, until, as_of, types, severities, statuses, days)


_TRY_LOCK = named(
    "try_to_fold",
    "SELECT pg_try_advisory_xact_lock(:key)",
)
_FOLD = named(
    "fold_counts",
    """
WITH gone AS (DELETE FROM audit_counts_pending RETURNING *)
INSERT INTO audit_counts_daily AS known (client_id, day, event_type, severity, status, entries)
SELECT client_id, day, event_type, severity, status, sum(entries) FROM gone GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (client_id, day, event_type, severity, status) DO UPDATE SET entries = known.entries + excluded.entries
""",
)
# Row-level security is no reason to leave the tenant out: only what a statement says is looked up in an index.
_COUNT = named(
    "count_events",
    """
SELECT day, event_type, severity, status, CAST(sum(entries) AS bigint) AS entries
FROM (SELECT * FROM audit_counts_daily UNION ALL SELECT * FROM audit_counts_pending) AS counts
WHERE day >= :since AND day < :until AND (CAST(:tenant AS uuid) IS NULL OR client_id = :tenant)
AND (CAST(:client AS uuid) IS NULL OR client_id = :client)
GROUP BY day, event_type, severity, status ORDER BY day
""",
)
