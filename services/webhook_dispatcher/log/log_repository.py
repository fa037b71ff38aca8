"""SQL that reads the log of deliveries."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.webhooks import Attempt, Delivery
from libs.common.db.models.webhooks import WebhookAttempt as A
from libs.common.db.models.webhooks import WebhookDelivery as D
from libs.common.ids import first_at

MOST_ATTEMPTS = 100  # of a delivery that are shown
REPORTED = (
    D.id, D.webhook_id, D.event, D.sequence, D.status, D.attempts, D.next_attempt_at, D.last_status_code, D.last_error,
    D.created_at,
)  # fmt: skip
_ATTEMPT = (A.started_at, A.duration_ms, A.status_code, A.error, A.next_attempt_at, A.answer, A.by_hand)
# Written out, so that every plan may use the index of those that are not delivered.
_STATUSES: dict[str, ColumnElement[str]] = {
    status: literal_column(f"'{status}'") for status in ("pending", "delivered", "dead")
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a delivery must be to be in the list; None asks nothing."""

    status: str | None = None
    event: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        asked = (
            None if self.status is None else D.status == _STATUSES[self.status],
            None if self.event is None else D.event == self.event,
            None if self.since is None else D.id >= first_at(self.since),
            None if self.until is None else D.id < first_at(self.until),
        )
        return [condition for condition in asked if condition is not None]


async def page(
    connection: AsyncConnection, subscription_id: str, asked: Filter, before: str | None, limit: int
) -> tuple[list[Delivery], bool]:
    """Returns a page, newest first, and whether there are more. `before` is the last id of the previous page."""
    statement = select(*REPORTED).where(D.subscription_id == subscription_id, *asked.conditions())
    if before is not None:
        statement = statement.where(D.id < before)
    rows = (await connection.execute(statement.order_by(D.id.desc()).limit(limit + 1))).mappings().all()
    return [Delivery(**row) for row in rows[:limit]], len(rows) > limit


async def subscription_of(connection: AsyncConnection, delivery_id: str) -> str | None:
    """Returns the id of a delivery's subscription; None for an unknown delivery."""
    return (await connection.execute(select(D.subscription_id).where(D.id == delivery_id))).scalar_one_or_none()


async def delivery(connection: AsyncConnection, delivery_id: str) -> Delivery:
    return Delivery(**(await connection.execute(select(*REPORTED).where(D.id == delivery_id))).mappings().one())


async def detail(connection: AsyncConnection, subscription_id: str, delivery_id: str) -> RowMapping | None:
    """Returns a delivery's reported columns with `event_id` and `body`; None if the subscription has no such one."""
    statement = select(*REPORTED, D.event_id, D.body).where(D.subscription_id == subscription_id, D.id == delivery_id)
    return (await connection.execute(statement)).mappings().one_or_none()


async def attempts(connection: AsyncConnection, delivery_id: str) -> list[Attempt]:
    """Returns the last attempts, the oldest first."""
    statement = select(*_ATTEMPT).where(A.delivery_id == delivery_id).order_by(A.id.desc()).limit(MOST_ATTEMPTS)
    return [Attempt(**row) for row in (await connection.execute(statement)).mappings()][::-1]


async def counts(connection: AsyncConnection, subscription_id: str, since: datetime) -> dict[str, int]:
    """Returns how many deliveries were made since, by status."""
    statement = select(D.status, func.count().label("number")).group_by(D.status)
    made = (D.subscription_id == subscription_id, D.id >= first_at(since))
    return {row.status: row.number for row in await connection.execute(statement.where(*made))}
