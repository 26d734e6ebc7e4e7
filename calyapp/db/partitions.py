"""The partitions of the audit log: one for each month, created ahead of time.

There is no default partition, because its rows would prevent their month from being attached. Without a partition the
insert fails, and the readiness check warns a month before.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

from sqlalchemy import Connection, text

MONTHS_AHEAD = 3
_LOCK = 0x63616C79_0001  # advisory lock: processes that start together create the partitions one after the other


def months(now: datetime, ahead: int = MONTHS_AHEAD) -> Iterator[datetime]:
    """Yields the first instants (UTC) of this month and of the next `ahead` months."""
    for step in range(ahead + 1):
        year, month = divmod(now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1 + step, 12)
        yield datetime(year, month + 1, 1, tzinfo=UTC)


def name(month: datetime) -> str:
    """Returns the name of the partition of a month."""
    return f"audit_logs_{month:%Y_%m}"


def missing(connection: Connection, now: datetime, ahead: int = 1) -> list[str]:
    """Returns the partitions that are missing among this month and the next `ahead` months."""
    attached = set(connection.scalars(_ATTACHED, execution_options={"name": "list_partitions"}))
    return [name(month) for month in months(now, ahead) if name(month) not in attached]


def ensure(connection: Connection, now: datetime) -> list[str]:
    """Creates the partitions of this month and the next three. Returns those that were missing.

    Runs in the caller's transaction. It creates a table and then attaches it, which blocks no inserts. If a lock is
    not available in time, it raises `DatabaseAway`, and the next run tries again.
    """
    connection.execute(text("SET LOCAL lock_timeout = '2s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    absent = missing(connection, now, MONTHS_AHEAD)
    for month, following in _spans(now):
        if name(month) in absent:
            _create(connection, month, following)
    return absent


def _spans(now: datetime) -> Iterator[tuple[datetime, datetime]]:
    starts = list(months(now, MONTHS_AHEAD + 1))
    return pairwise(starts)


def _create(connection: Connection, month: datetime, following: datetime) -> None:
    table = name(month)
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {table} (LIKE audit_logs INCLUDING ALL)"))
    connection.execute(
        # Attaching clones the parent's row triggers, but not the statement trigger on TRUNCATE.
        text(
            f"CREATE OR REPLACE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON {table} "
            "EXECUTE FUNCTION audit_logs_refuse_change()"
        )
    )
    connection.execute(
        text(
            f"ALTER TABLE audit_logs ATTACH PARTITION {table} "
            f"FOR VALUES FROM ('{month.isoformat()}') TO ('{following.isoformat()}')"
        )
    )


_ATTACHED = text(
    "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
    "WHERE inhparent = 'audit_logs'::regclass"
)
