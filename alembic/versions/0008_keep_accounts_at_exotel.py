"""Clients' accounts at Exotel, with credentials encrypted with ENCRYPTION_KEY."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exotel_accounts",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("octet_length(credentials) > 32", name=op.f("exotel_accounts_credentials_check")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("exotel_accounts_client_id_fkey")),
        sa.PrimaryKeyConstraint("client_id", name=op.f("exotel_accounts_pkey")),
    )


def downgrade() -> None:
    op.drop_table("exotel_accounts")
