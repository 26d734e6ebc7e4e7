"""Row-level security: the records API reads only the rows of one tenant, whatever the statement."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A superuser can set any role. Others must be members. Before version 16, CREATEROLE was enough to become one.
ENSURE_READER = """
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'caly_reader') THEN
    CREATE ROLE caly_reader NOLOGIN;
  END IF;
  BEGIN
    SET LOCAL ROLE caly_reader;
    RESET ROLE;
  EXCEPTION WHEN insufficient_privilege THEN
    EXECUTE format('GRANT caly_reader TO %I', current_user);
  END;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN
    NULL; -- created by another session at this moment
  WHEN insufficient_privilege THEN
    RAISE insufficient_privilege USING MESSAGE = format(
      'The role %1$I lacks CREATEROLE, or ADMIN OPTION on caly_reader, to set up row-level security. '
      'Let a superuser run: '
      'CREATE ROLE caly_reader NOLOGIN; GRANT caly_reader TO %1$I;', current_user);
END
$$
"""
TABLES = ("calls", "deliveries", "audit_logs")
# Other roles see what they were granted, at the cost of one comparison. The setting is cast only if it is a UUID: any
# other value matches no tenant and raises no error. In a subquery it is evaluated once for each statement. Partitions
# get no grant: they are read through their table.
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


def upgrade() -> None:
    op.execute(ENSURE_READER)
    for table in TABLES:
        op.execute(POLICY.format(table=table))
        op.execute(f"GRANT SELECT ON {table} TO caly_reader")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Keeps the role, because other databases of the server may use it."""
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE SELECT ON {table} FROM caly_reader")  # noqa: S608 — a constant
        op.execute(f"DROP POLICY tenant ON {table}")
