"""Indexes that make every page of calls and of the audit log cost the same, with every filter."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OF_CALLS = {
    ("status", "created_at", "id"): "status <> 'completed'",
    ("direction", "created_at", "id"): "direction = 'outbound'",
    ("client_id", "direction", "created_at", "id"): "direction = 'outbound'",
}
OF_EVENTS = {
    ("request_id",): None,
    ("event_type", "created_at", "id"): None,
    ("client_id", "event_type", "created_at", "id"): None,
    ("severity", "created_at", "id"): "severity <> 'LOW'",
    ("client_id", "severity", "created_at", "id"): "severity <> 'LOW'",
    ("status", "created_at", "id"): "status = 'failure'",
    ("client_id", "status", "created_at", "id"): "status = 'failure'",
    ("resource", "created_at", "id"): "resource <> 'call'",
    ("client_id", "resource", "created_at", "id"): "resource <> 'call'",
    ("user_id", "created_at", "id"): "user_id IS NOT NULL",
    ("client_id", "user_id", "created_at", "id"): "user_id IS NOT NULL",
}
# The partitions that do not have the index yet.
LACKING = """
SELECT month.inhrelid::regclass::text FROM pg_inherits AS month WHERE month.inhparent = 'audit_logs'::regclass
AND NOT EXISTS (
  SELECT FROM pg_inherits AS part JOIN pg_index ON pg_index.indexrelid = part.inhrelid
  WHERE part.inhparent = to_regclass(:index) AND pg_index.indrelid = month.inhrelid
) ORDER BY 1
"""


def upgrade() -> None:
    """Takes no lock that deliveries wait for. It can be repeated: it rebuilds what a failed attempt left."""
    with op.get_context().autocommit_block():
        for columns, condition in OF_CALLS.items():
            name, where = f"calls_{'_'.join(columns)}_idx", sa.text(condition)
            op.drop_index(op.f(name), "calls", if_exists=True, postgresql_concurrently=True)
            op.create_index(op.f(name), "calls", list(columns), postgresql_where=where, postgresql_concurrently=True)
        for columns, condition in OF_EVENTS.items():
            _create(f"audit_logs_{'_'.join(columns)}_idx", columns, condition)


def downgrade() -> None:
    """Drops the indexes. That of a partitioned table cannot be dropped concurrently; its partitions' go with it.

    It can be repeated if the second half fails.
    """
    for columns in reversed(OF_EVENTS):
        op.drop_index(op.f(f"audit_logs_{'_'.join(columns)}_idx"), "audit_logs", if_exists=True)
    with op.get_context().autocommit_block():
        for columns in reversed(OF_CALLS):
            name = f"calls_{'_'.join(columns)}_idx"
            op.drop_index(op.f(name), "calls", if_exists=True, postgresql_concurrently=True)


def _create(index: str, columns: tuple[str, ...], condition: str | None) -> None:
    """Creates the index on no partition at first, which is quick, then on each. It is used once every partition has it.

    New partitions get it when they are created.
    """
    keys = f"({', '.join(columns)})" + (f" WHERE {condition}" if condition else "")
    op.execute(
        "-- squawk-ignore require-concurrent-index-creation\n"
        f"CREATE INDEX IF NOT EXISTS {index} ON ONLY audit_logs {keys}"
    )
    for month in _lacking(index):
        part = f"{month}_{'_'.join(columns)}_idx"
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {part}")
        op.execute(f"CREATE INDEX CONCURRENTLY {part} ON {month} {keys}")
        op.execute(f"ALTER INDEX {index} ATTACH PARTITION {part}")


def _lacking(index: str) -> Iterator[str]:
    if not op.get_context().as_sql:
        yield from op.get_bind().scalars(sa.text(LACKING), {"index": index}).all()
