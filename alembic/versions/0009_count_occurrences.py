"""Counts of occurrences, not rows: a throttled audit entry stands for `metadata.count` of them."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# An invalid value counts as one: an unreadable count must not prevent an audit entry.
OCCURRENCES = "CASE WHEN metadata->>'count' ~ '^[1-9][0-9]{0,8}$' THEN (metadata->>'count')::bigint ELSE 1 END"
# Replacing a function waits for no INSERT. This lock does, so that no transaction that counts rows is in progress.
WAIT_FOR_WRITERS = "LOCK TABLE ONLY audit_logs IN SHARE ROW EXCLUSIVE MODE"
COUNT = """
CREATE OR REPLACE FUNCTION audit_logs_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_counts_pending (client_id, day, event_type, severity, status, entries)
  SELECT client_id, (created_at AT TIME ZONE 'UTC')::date, event_type, severity, status, {counted}
  FROM added GROUP BY 1, 2, 3, 4, 5;
  RETURN NULL;
END
$$
"""
# One statement sees one snapshot, as in 0006. It adds what is missing, so it can be repeated.
COUNT_EARLIER = """
INSERT INTO audit_counts_pending (client_id, day, event_type, severity, status, entries)
SELECT client_id, day, event_type, severity, status, sum(entries) FROM (
  SELECT client_id, (created_at AT TIME ZONE 'UTC')::date AS day, event_type, severity, status,
    sum({occurrences}) AS entries
  FROM audit_logs GROUP BY 1, 2, 3, 4, 5
  UNION ALL SELECT client_id, day, event_type, severity, status, -entries FROM audit_counts_pending
  UNION ALL SELECT client_id, day, event_type, severity, status, -entries FROM audit_counts_daily
) AS counts GROUP BY 1, 2, 3, 4, 5 HAVING sum(entries) > 0
"""


def upgrade() -> None:
    """Reads the whole audit log once, in a separate transaction that blocks no writer."""
    op.execute(WAIT_FOR_WRITERS)
    op.execute(COUNT.format(counted=f"sum({OCCURRENCES})"))
    with op.get_context().autocommit_block():
        op.execute(COUNT_EARLIER.format(occurrences=OCCURRENCES))


def downgrade() -> None:
    """Leaves the counts of earlier days unchanged."""
    op.execute(WAIT_FOR_WRITERS)
    op.execute(COUNT.format(counted="count(*)"))
