"""Indexes that make every page of calls cost the same, for each client and for the usual filters."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEXES = (
    ("created_at", "id"),
    ("client_id", "created_at", "id"),
    ("client_id", "status", "created_at", "id"),
    ("phone_from", "created_at", "id"),
    ("phone_to", "created_at", "id"),
)


def upgrade() -> None:
    """Takes no lock that deliveries wait for. It can be repeated: it rebuilds what a failed attempt left."""
    with op.get_context().autocommit_block():
        for columns in INDEXES:
            name = f"calls_{'_'.join(columns)}_idx"
            op.drop_index(op.f(name), "calls", if_exists=True, postgresql_concurrently=True)
            op.create_index(op.f(name), "calls", list(columns), postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for columns in reversed(INDEXES):
            op.drop_index(op.f(f"calls_{'_'.join(columns)}_idx"), "calls", postgresql_concurrently=True)
