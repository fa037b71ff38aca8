"""SQL that makes notifications of the notices that other services left: of events, and of webhooks."""

from typing import Any

from sqlalchemy import Row, exists, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.chat import Notification
from libs.common.db.models.events import EventNotice
from libs.common.db.models.webhooks import WebhookNotice
from libs.common.ids import new_id
from libs.common.spaces import MAIN


async def unmade_notices(connection: AsyncConnection, limit: int) -> list[Row[Any]]:
    """Returns notices of events, oldest first, of which no notification was made yet."""
    made = exists().where(Notification.message_id == EventNotice.id)
    statement = select(EventNotice).where(~made).order_by(EventNotice.id).limit(limit)
    return list((await connection.execute(statement)).all())


async def insert_notice(connection: AsyncConnection, notice: Row[Any]) -> list[str]:
    """Stores a notification for each account of a notice; returns those for whom there was none."""
    rows = [
        {
            "id": new_id(),
            "account": account,
            "kind": notice.kind,
            "space_type": "event",
            "space_id": notice.event_id,
            "subspace": MAIN,
            "message_id": notice.id,
            "by": notice.host,
            "title": notice.title,
        }
        for account in sorted(notice.accounts)
    ]
    statement = pg_insert(Notification).values(rows).on_conflict_do_nothing(constraint="uq_notifications_message")
    return list((await connection.execute(statement.returning(Notification.account))).scalars())


async def unmade_of_webhooks(connection: AsyncConnection, limit: int) -> list[Row[Any]]:
    """Returns notices of webhooks, oldest first, of which no notification was made yet."""
    made = exists().where(Notification.message_id == WebhookNotice.id)
    statement = select(WebhookNotice.__table__).where(~made).order_by(WebhookNotice.id).limit(limit)
    return list((await connection.execute(statement)).all())


async def insert_of_webhook(connection: AsyncConnection, notice: Row[Any]) -> bool:
    """Stores the notification of a notice; returns whether there was none."""
    row = {
        "id": new_id(),
        "account": notice.account,
        "kind": notice.kind,
        "space_type": notice.space_type,
        "space_id": notice.space_id,
        "subspace": MAIN,
        "message_id": notice.id,
        "by": notice.host,
        "title": notice.title,
        "link": notice.link,
    }
    statement = pg_insert(Notification).values(row).on_conflict_do_nothing(constraint="uq_notifications_message")
    return (await connection.execute(statement.returning(Notification.id))).first() is not None
