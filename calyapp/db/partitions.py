"""The months of the audit trail: one partition each, made ahead of time.

There is no default partition: its rows would forbid the month they belong to. A month that is missing makes the
insert fail, loudly, and readiness warns of it a month before.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

from sqlalchemy import Connection, text

MONTHS_AHEAD = 3
_LOCK = 0x63616C79_0001  # advisory: processes that start together make the months one after the other


def months(now: datetime, ahead: int = MONTHS_AHEAD) -> Iterator[datetime]:
    """The first instants (UTC) of this month and of as many after it."""
    for step in range(ahead + 1):
        year, month = divmod(now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1 + step, 12)
        yield datetime(year, month + 1, 1, tzinfo=UTC)


def name(month: datetime) -> str:
    """The table that holds a month's entries."""
    return f"audit_logs_{month:%Y_%m}"


def missing(connection: Connection, now: datetime, ahead: int = 1) -> list[str]:
    """Which of this month and the next `ahead` have no partition yet."""
    attached = set(connection.scalars(_ATTACHED, execution_options={"name": "list_partitions"}))
    return [name(month) for month in months(now, ahead) if name(month) not in attached]


def ensure(connection: Connection, now: datetime) -> list[str]:
    """Make the partitions of this month and the next three; returns the names of those made.

    Runs in the caller's transaction. A month is created apart and then attached, which does not block inserts; if a
    lock cannot be had at once it gives up (`DatabaseAway`) and the next run tries again.
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
        # Row triggers come with the parent's when the table is attached; TRUNCATE is a statement's and does not.
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
