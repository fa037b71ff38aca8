"""SQL that reads the log of deliveries."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.webhooks import Delivery
from libs.common.db.models.webhooks import WebhookDelivery as D

REPORTED = (
    D.id, D.webhook_id, D.event, D.sequence, D.status, D.attempts, D.next_attempt_at, D.last_status_code, D.last_error,
    D.created_at,
)  # fmt: skip


async def page(
    connection: AsyncConnection, subscription_id: str, before: str | None, limit: int
) -> tuple[list[Delivery], bool]:
    """Returns a page, newest first, and whether there are more. `before` is the last id of the previous page."""
    statement = select(*REPORTED).where(D.subscription_id == subscription_id)
    if before is not None:
        statement = statement.where(D.id < before)
    rows = (await connection.execute(statement.order_by(D.id.desc()).limit(limit + 1))).mappings().all()
    return [Delivery(**row) for row in rows[:limit]], len(rows) > limit


async def subscription_of(connection: AsyncConnection, delivery_id: str) -> str | None:
    """Returns the id of a delivery's subscription; None for an unknown delivery."""
    return (await connection.execute(select(D.subscription_id).where(D.id == delivery_id))).scalar_one_or_none()


async def delivery(connection: AsyncConnection, delivery_id: str) -> Delivery:
    return Delivery(**(await connection.execute(select(*REPORTED).where(D.id == delivery_id))).mappings().one())
