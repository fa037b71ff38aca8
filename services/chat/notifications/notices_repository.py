"""SQL that makes notifications of the notices that other services left: of events, and of webhooks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, exists, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.chat import Notification
from libs.common.db.models.events import EventNotice
from libs.common.db.models.webhooks import WebhookNotice
from libs.common.ids import new_id
from libs.common.spaces import MAIN, SpaceKey


@dataclass(frozen=True, slots=True)
class Notice:
    """What accounts are to be notified of; `by` is the event's host, or the host of the webhook's URL."""

    id: str
    kind: str
    accounts: list[str]
    space: SpaceKey
    by: str
    title: str
    link: str | None = None


@dataclass(frozen=True)
class Unmade:
    """The notices of a table, of which no notification was made yet; at most `at_once` of them are read."""

    model: type[EventNotice | WebhookNotice]
    read: Callable[[Row[Any]], Notice]
    at_once: int

    async def first(self, connection: AsyncConnection) -> list[Notice]:
        """Returns them, oldest first."""
        made = exists().where(Notification.message_id == self.model.id)
        statement = select(self.model.__table__).where(~made).order_by(self.model.id).limit(self.at_once)
        return [self.read(row) for row in await connection.execute(statement)]


def _of_event(row: Row[Any]) -> Notice:
    return Notice(row.id, row.kind, row.accounts, SpaceKey("event", row.event_id), row.host, row.title)


def _of_webhook(row: Row[Any]) -> Notice:
    space = SpaceKey(row.space_type, row.space_id)
    return Notice(row.id, row.kind, [row.account], space, row.host, row.title, row.link)


OF_EVENTS = Unmade(EventNotice, _of_event, at_once=20)  # each has up to 500 accounts
OF_WEBHOOKS = Unmade(WebhookNotice, _of_webhook, at_once=100)


async def insert(connection: AsyncConnection, notice: Notice) -> list[str]:
    """Stores a notification for each account of a notice; returns those for whom there was none."""
    rows = [
        {
            "id": new_id(),
            "account": account,
            "kind": notice.kind,
            "space_type": notice.space.space_type,
            "space_id": notice.space.space_id,
            "subspace": MAIN,
            "message_id": notice.id,
            "by": notice.by,
            "title": notice.title,
            "link": notice.link,
        }
        for account in sorted(notice.accounts)
    ]
    statement = pg_insert(Notification).values(rows).on_conflict_do_nothing(constraint="uq_notifications_message")
    return list((await connection.execute(statement.returning(Notification.account))).scalars())
