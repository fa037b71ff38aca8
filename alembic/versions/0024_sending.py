"""An endpoint's state while it is slow or asks to wait, and queues that stay quick with a million deliveries in them.

A subscription that ends no longer takes its deliveries with it in one statement, which nobody can wait for: they are
removed in batches, so there is no foreign key that would do it at once.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: None = None
depends_on: None = None

MOMENT = sa.DateTime(timezone=True)
FIRST, DEAD = "ix_webhook_deliveries_first", "ix_webhook_deliveries_dead"
FIRST_ATTEMPTS = "status = 'pending' AND attempts = 0"
SUBSCRIPTION = "fk_webhook_deliveries_subscription_id"
ORPHANS = "DELETE FROM webhook_deliveries WHERE subscription_id NOT IN (SELECT id FROM webhook_subscriptions)"


def upgrade() -> None:
    for name in ("is_probed", "is_given_up"):
        op.add_column(
            "webhook_subscriptions", sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)
        )
    for name in ("paused_until", "waiting_since"):
        op.add_column("webhook_subscriptions", sa.Column(name, MOMENT, nullable=True))
    op.add_column("webhook_deliveries", sa.Column("excused", sa.Integer(), server_default="0", nullable=False))
    op.drop_constraint(op.f(SUBSCRIPTION), "webhook_deliveries", type_="foreignkey")
    with op.get_context().autocommit_block():
        _index(FIRST, ["subscription_id", "next_attempt_at"], FIRST_ATTEMPTS)
        _index(DEAD, ["finished_at"], "status = 'dead'")


def _index(name: str, columns: list[str], where: str) -> None:
    """Makes an index without holding up whoever plans or sends."""
    op.drop_index(name, "webhook_deliveries", if_exists=True, postgresql_concurrently=True)  # half made
    op.create_index(name, "webhook_deliveries", columns, postgresql_where=sa.text(where), postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index(DEAD, "webhook_deliveries")
    op.drop_index(FIRST, "webhook_deliveries")
    op.execute(ORPHANS)
    op.create_foreign_key(
        op.f(SUBSCRIPTION),
        "webhook_deliveries",
        "webhook_subscriptions",
        ["subscription_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.drop_column("webhook_deliveries", "excused")
    for name in ("waiting_since", "paused_until", "is_given_up", "is_probed"):
        op.drop_column("webhook_subscriptions", name)
