"""SQL of what subscriptions' owners are to be told: chat makes notifications of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.webhooks import WebhookNotice as N
from libs.common.db.models.webhooks import WebhookSubscription as S
from libs.common.ids import new_id

FAILING, ENDS_SOON, DISABLED = "webhook_failing", "webhook_ends_soon", "webhook_disabled"
TOLD = (S.id, S.created_by, S.space_type, S.space_id, S.webhook_url, S.failing_since)


@dataclass(frozen=True, slots=True)
class Told:
    """The subscription that a notice is about: the columns `TOLD`."""

    id: str
    created_by: str
    space_type: str
    space_id: str
    webhook_url: str
    failing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    """`said` goes on after the endpoint's host: "Your webhook to myapp.com " and then `said`."""

    kind: str
    subscription: Told
    said: str


async def tell(connection: AsyncConnection, notices: Iterable[Notice]) -> None:
    """Leaves notices to the owners of subscriptions."""
    rows = [_row(notice) for notice in notices]
    if rows:
        await connection.execute(insert(N), rows)


def _row(notice: Notice) -> dict[str, Any]:
    subscription = notice.subscription
    host = urlsplit(subscription.webhook_url).hostname or ""
    return {
        "id": new_id(),
        "kind": notice.kind,
        "account": subscription.created_by,
        "space_type": subscription.space_type,
        "space_id": subscription.space_id,
        "host": host,
        "title": f"Your webhook to {host} {notice.said}",
        "link": f"/webhooks#{subscription.id}",
    }


async def prune(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` notices that were left before the moment; returns how many."""
    old = select(N.id).where(N.created_at < before).limit(limit)
    return (await connection.execute(delete(N).where(N.id.in_(old)))).rowcount
