"""The ledger also holds the rows of CDR exports."""

from alembic import op
from alembic.util import CommandError
from sqlalchemy.exc import IntegrityError

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WEBHOOKS = "'call-start', 'call-status', 'call-end', 'recording', 'passthru', 'heartbeat'"


def upgrade() -> None:
    _allow(f"{WEBHOOKS}, 'cdr'")


def downgrade() -> None:
    """Refuses if rows were imported, because the ledger keeps all rows. Imports then continue to work."""
    try:
        _allow(WEBHOOKS)
    except IntegrityError:
        upgrade()
        raise CommandError(
            "Nothing was changed: the ledger holds rows of CDR exports, which earlier revisions do not allow. "
            "Stay at this revision, or restore a backup from before the first import."
        ) from None


def _allow(routes: str) -> None:
    """Uses two transactions: the first blocks deliveries for a moment, the second reads all rows without blocking."""
    with op.get_context().autocommit_block():
        op.execute(
            # The same statement adds the new constraint.
            "-- squawk-ignore ban-drop-constraint\n"
            "ALTER TABLE deliveries DROP CONSTRAINT deliveries_route_check, "
            f"ADD CONSTRAINT deliveries_route_check CHECK (route IN ({routes})) NOT VALID"
        )
        op.execute("ALTER TABLE deliveries VALIDATE CONSTRAINT deliveries_route_check")
