"""Counts audit events by day (UTC), type, severity and status, exactly and for one tenant or all.

It counts occurrences, not rows: a throttled entry stands for `metadata.count` of them. A database trigger adds the
counts of each statement to `audit_counts_pending`, and `fold` moves them to `audit_counts_daily`. A read adds both
tables in one statement, which sees one snapshot. So it does not matter whether a count is already folded.
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
_LOCK = 0x63616C79_0002  # advisory lock: one process folds at a time


@dataclass(frozen=True, slots=True)
class Counts:
    """Occurrences by type, severity, status and day, as of `as_of`. A key that did not occur is missing.

    The period starts with the day `since` and ends before the day `until`.
    """

    since: date
    until: date
    as_of: datetime
    types: Mapping[str, int]
    severities: Mapping[str, int]
    statuses: Mapping[str, int]
    days: Mapping[date, int]


class EventCounts:
    """Reads and folds the counts. Reads are cached for up to a minute."""

    def __init__(self, pool: Pool, seconds: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._seconds = seconds
        # The current minute is part of the cache's key, so entries are not used in the next minute, and are evicted.
        self._cached_read = lru_cache(_MAX_CACHED)(self._read)

    def read(self, tenant: Tenant, client_id: UUID | None, since: date, until: date) -> Counts:
        """Returns the counts that the tenant can see, of one client or all, from `since` to before `until`."""
        return self._cached_read(tenant, client_id, since, until, int(self._seconds() // FRESH_SECONDS))

    def fold(self) -> None:
        """Moves the pending counts to the days. Does nothing if another process is doing it."""
        with self._pool.transaction() as connection:
            if connection.scalar(_TRY_LOCK, {"key": _LOCK}):
                connection.execute(_FOLD)

    def _read(self, tenant: Tenant, client_id: UUID | None, since: date, until: date, _minute: int) -> Counts:
        only = tenant if isinstance(tenant, UUID) else None
        parameters = {"tenant": only, "client": client_id, "since": since, "until": until}
        as_of = clock.now()
        types, severities, statuses, days = Counter[str](), Counter[str](), Counter[str](), Counter[date]()
        with tenancy.reading(self._pool, tenant) as connection:
            for row in connection.execute(_COUNT, parameters):
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
WITH pending AS (DELETE FROM audit_counts_pending RETURNING *)
INSERT INTO audit_counts_daily AS stored (client_id, day, event_type, severity, status, entries)
SELECT client_id, day, event_type, severity, status, sum(entries) FROM pending GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (client_id, day, event_type, severity, status) DO UPDATE SET entries = stored.entries + excluded.entries
""",
)
# Row-level security alone would be correct but slow: only a condition in the statement can use an index.
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
