"""Clients and their numbers, calls, the ledger of deliveries, and the append-only audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


REFUSE_CHANGE = """
CREATE FUNCTION audit_logs_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_logs is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$
"""
# Attaching a partition clones this trigger. The trigger on TRUNCATE must be created on each partition.
REFUSE_ROWS = """
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
FOR EACH ROW EXECUTE FUNCTION audit_logs_refuse_change()
"""
REFUSE_TRUNCATE = """
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs
EXECUTE FUNCTION audit_logs_refuse_change()
"""


def _sourced(name: str, type_: sa.types.TypeEngine) -> tuple:
    """Returns a column, and the column of its source."""
    source = f"{name}_source"
    return (
        sa.Column(name, type_),
        sa.Column(source, sa.Text()),
        sa.CheckConstraint(f"{source} IN ('arrival', 'passthru', 'status-callback', 'api')", name=f"{source}"),
        sa.CheckConstraint(f"({name} IS NULL) = ({source} IS NULL)", name=f"{name}_has_source"),
    )


def upgrade() -> None:
    op.create_table(
        "audit_logs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=True),
        sa.Column("call_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=True),
        sa.Column("resource_id", sa.Text(), nullable=True),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("ip_address", postgresql.INET(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("severity IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')", name=op.f("audit_logs_severity_check")),
        sa.CheckConstraint("status IN ('success', 'failure')", name=op.f("audit_logs_status_check")),
        sa.PrimaryKeyConstraint("id", "created_at", name=op.f("audit_logs_pkey")),
        postgresql_partition_by="RANGE (created_at)",
    )
    op.execute(REFUSE_CHANGE)
    op.execute(REFUSE_ROWS)
    op.execute(REFUSE_TRUNCATE)
    op.create_index(op.f("audit_logs_call_id_idx"), "audit_logs", ["call_id"], unique=False)
    op.create_index(
        op.f("audit_logs_client_id_created_at_id_idx"),
        "audit_logs",
        ["client_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(op.f("audit_logs_created_at_id_idx"), "audit_logs", ["created_at", "id"], unique=False)
    op.create_table(
        "calls",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("call_sid", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("duration_seconds", sa.Integer(), nullable=True),
        *_sourced("phone_from", sa.Text()),
        *_sourced("phone_to", sa.Text()),
        *_sourced("direction", sa.Text()),
        *_sourced("start_ts", sa.DateTime(timezone=True)),
        *_sourced("end_ts", sa.DateTime(timezone=True)),
        *_sourced("talk_seconds", sa.Integer()),
        *_sourced("call_seconds", sa.Integer()),
        *_sourced("recording_url", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("direction IN ('inbound', 'outbound')", name=op.f("calls_direction_check")),
        sa.CheckConstraint(
            "evidence IN ('none', 'completed', 'failed', 'canceled', 'no-answer', 'busy', 'voicemail', 'answered')",
            name=op.f("calls_evidence_check"),
        ),
        sa.CheckConstraint(
            "outcome IN ('answered', 'voicemail', 'rejected', 'missed', 'abandoned', 'failed')",
            name=op.f("calls_outcome_check"),
        ),
        sa.CheckConstraint("phase IN ('initiated', 'ringing', 'in-progress', 'over')", name=op.f("calls_phase_check")),
        sa.CheckConstraint(
            "status IN ('initiated', 'ringing', 'in-progress', 'completed', 'failed', 'busy', 'no-answer', 'canceled')",
            name=op.f("calls_status_check"),
        ),
        sa.PrimaryKeyConstraint("client_id", "call_sid", name=op.f("calls_pkey")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(op.f("calls_call_sid_idx"), "calls", ["call_sid"], unique=False)
    op.create_index(op.f("calls_id_idx"), "calls", ["id"], unique=False)
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("oldest_key_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("say_text", sa.Text(), nullable=True),
        sa.Column("say_voice", sa.Text(), nullable=True),
        sa.Column("say_language", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "1 <= oldest_key_version AND oldest_key_version <= key_version",
            name=op.f("clients_key_versions_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("clients_pkey")),
        sa.UniqueConstraint("name", name=op.f("clients_name_key")),
    )
    op.create_table(
        "deliveries",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=True),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("repeats", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "route IN ('call-start', 'call-status', 'call-end', 'recording', 'passthru', 'heartbeat')",
            name=op.f("deliveries_route_check"),
        ),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("deliveries_digest_check")),
        sa.PrimaryKeyConstraint("client_id", "digest", name=op.f("deliveries_pkey")),
    )
    op.create_index(
        op.f("deliveries_client_id_call_id_received_at_idx"),
        "deliveries",
        ["client_id", "call_id", "received_at"],
        unique=False,
    )
    op.create_table(
        "client_numbers",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("number ~ '^\\+[1-9][0-9]{4,14}$'", name=op.f("client_numbers_e164_check")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("client_numbers_client_id_fkey")),
        sa.PrimaryKeyConstraint("number", name=op.f("client_numbers_pkey")),
    )
    op.create_index(op.f("client_numbers_client_id_idx"), "client_numbers", ["client_id"], unique=False)


def downgrade() -> None:
    op.drop_table("client_numbers")
    op.drop_table("deliveries")
    op.drop_table("clients")
    op.drop_table("calls")
    op.drop_table("audit_logs")
    op.execute("DROP FUNCTION audit_logs_refuse_change")
