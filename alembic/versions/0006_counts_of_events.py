"""Counts of audit entries by kind, client and day, kept by the database and exact at every moment."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("audit_counts_daily", "audit_counts_pending")
KIND = ("client_id", "day", "event_type", "severity", "status")
# The same as in 0003.
POLICY = """
CREATE POLICY tenant ON {table} USING (
  current_user <> 'caly_reader'
  OR current_setting('caly.tenant', true) = '*'
  OR client_id = (
    SELECT CASE WHEN current_setting('caly.tenant', true) ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'
    THEN current_setting('caly.tenant', true)::uuid END
  )
)
"""
# `added` holds only inserted rows, not repeats. Each statement adds a row of its own, so that no delivery waits for the
# count of another.
COUNT = """
CREATE OR REPLACE FUNCTION audit_logs_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_counts_pending (client_id, day, event_type, severity, status, entries)
  SELECT client_id, (created_at AT TIME ZONE 'UTC')::date, event_type, severity, status, count(*)
  FROM added GROUP BY 1, 2, 3, 4, 5;
  RETURN NULL;
END
$$
"""
COUNT_ADDED = """
CREATE OR REPLACE TRIGGER audit_logs_count AFTER INSERT ON audit_logs REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_count()
"""
# One statement sees one snapshot: the entries and their counts at that moment. The trigger counts later entries.
COUNT_EARLIER = """
INSERT INTO audit_counts_pending (client_id, day, event_type, severity, status, entries)
SELECT client_id, day, event_type, severity, status, sum(entries) FROM (
  SELECT client_id, (created_at AT TIME ZONE 'UTC')::date AS day, event_type, severity, status, count(*) AS entries
  FROM audit_logs GROUP BY 1, 2, 3, 4, 5
  UNION ALL SELECT client_id, day, event_type, severity, status, -entries FROM audit_counts_pending
  UNION ALL SELECT client_id, day, event_type, severity, status, -entries FROM audit_counts_daily
) AS counts GROUP BY 1, 2, 3, 4, 5 HAVING sum(entries) > 0
"""


def upgrade() -> None:
    """Counts existing entries at the end, in a separate transaction that blocks no writer.

    Every step can be repeated if that one fails.
    """
    for table in TABLES:
        _create(table)
    op.create_index(op.f("audit_counts_daily_day_idx"), "audit_counts_daily", ["day"], if_not_exists=True)
    op.execute(COUNT)
    op.execute(COUNT_ADDED)
    with op.get_context().autocommit_block():
        op.execute(COUNT_EARLIER)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_logs_count ON audit_logs")
    op.execute("DROP FUNCTION audit_logs_count")
    for table in TABLES:
        op.drop_table(table)


def _create(table: str) -> None:
    unique = table == "audit_counts_daily"
    op.create_table(
        table,
        sa.Column("client_id", sa.Uuid(), nullable=True),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("entries > 0", name=op.f(f"{table}_entries_check")),
        *(
            [sa.UniqueConstraint(*KIND, name=op.f(f"{table}_{'_'.join(KIND)}_key"), postgresql_nulls_not_distinct=True)]
            if unique
            else []
        ),
        if_not_exists=True,
    )
    op.execute(f"DROP POLICY IF EXISTS tenant ON {table}")
    op.execute(POLICY.format(table=table))
    op.execute(f"GRANT SELECT ON {table} TO caly_reader")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
