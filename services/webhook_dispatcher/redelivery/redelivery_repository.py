"""SQL of redelivery: which deliveries are sent again because somebody asked, outside the schedule.

What is asked for is `redeliver_at`, beside the delivery's own state, which stays until it succeeds: so a delivery that
failed again is as dead as it was, and the endpoint no more failing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, Select, Text, cast, exists, func, select, true, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.webhooks import Subscription
from libs.common.db.models.event_log import EventLogRow as E
from libs.common.db.models.webhooks import WebhookAttempt as A
from libs.common.db.models.webhooks import WebhookDelivery as D
from libs.common.db.models.webhooks import WebhookSubscription as S
from libs.common.ids import first_at
from services.webhook_dispatcher.repository import attempt
from services.webhook_dispatcher.sender import Answer


@dataclass(frozen=True, slots=True)
class Again:
    """A delivery that this process sends again until `lease`, with what it needs of its subscription."""

    id: str
    subscription_id: str
    event_id: str
    webhook_id: str
    event: str
    body: bytes
    tries: int
    lease: datetime
    webhook_url: str
    space_type: str
    space_id: str
    created_by: str
    secret_sealed: bytes
    previous_secret_sealed: bytes | None
    previous_secret_until: datetime | None


_AGAIN = (
    D.id, D.subscription_id, D.event_id, D.webhook_id, D.event, D.body, D.redelivery_tries.label("tries"),
    D.redeliver_at.label("lease"), S.webhook_url, S.space_type, S.space_id, S.created_by, S.secret_sealed,
    S.previous_secret_sealed, S.previous_secret_until,
)  # fmt: skip


# Asking


async def ask(connection: AsyncConnection, delivery_id: str, moment: datetime) -> None:
    values = {"redeliver_at": moment, "redelivery_tries": 0}
    await connection.execute(update(D).where(D.id == delivery_id).values(**values))


@dataclass(frozen=True, slots=True)
class Range:
    """Deliveries of a subscription in one `status`, made from `since` and before `until`."""

    subscription_id: str
    status: str
    since: datetime
    until: datetime

    def ids(self) -> Select[Any]:
        made = (D.id >= first_at(self.since), D.id < first_at(self.until))
        return select(D.id).where(D.subscription_id == self.subscription_id, D.status == self.status, *made)


async def count(connection: AsyncConnection, chosen: Range) -> int:
    statement = select(func.count()).select_from(chosen.ids().subquery())
    return int((await connection.execute(statement)).scalar_one())


async def ask_range(connection: AsyncConnection, chosen: Range, moment: datetime, limit: int) -> int:
    """Asks for the oldest `limit` of a range; returns how many there were."""
    oldest = chosen.ids().order_by(D.id).limit(limit).scalar_subquery()
    values = {"redeliver_at": moment, "redelivery_tries": 0}
    return (await connection.execute(update(D).where(D.id.in_(oldest)).values(**values))).rowcount


# What was missed


def _missed(stored: Subscription, names: Collection[str], since: datetime, until: datetime) -> Select[Any]:
    """Selects events of the log that no delivery was planned of; of `names` that the log knows."""
    planned = exists().where(D.subscription_id == stored.id, D.event_id == E.id)
    columns = (
        E.id, E.name, E.space_type, E.space_id, E.subspace, E.seq, E.actor, E.occurred_at, E.payload, E.request_id,
    )  # fmt: skip
    made = (E.id >= first_at(max(since, stored.created_at)), E.id < first_at(until))
    space = (E.space_type == stored.space_type, E.space_id == stored.space_id)
    return select(*columns).where(*space, E.name.in_(sorted(names)), *made, ~planned)


async def count_missed(
    connection: AsyncConnection, stored: Subscription, names: Collection[str], since: datetime, until: datetime
) -> int:
    statement = select(func.count()).select_from(_missed(stored, names, since, until).subquery())
    return int((await connection.execute(statement)).scalar_one())


async def missed(
    connection: AsyncConnection,
    stored: Subscription,
    names: Collection[str],
    since: datetime,
    until: datetime,
    limit: int,
) -> list[LoggedEvent]:
    """Returns the oldest `limit` events that were missed."""
    statement = _missed(stored, names, since, until).order_by(E.id).limit(limit)
    return [LoggedEvent(**row) for row in (await connection.execute(statement)).mappings()]


async def insert_missed(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Inserts deliveries that are dead until they are redelivered; returns how many were not there."""
    statement = pg_insert(D).on_conflict_do_nothing(constraint="uq_webhook_deliveries_event").returning(D.id)
    return len((await connection.execute(statement, [dict(row) for row in rows])).all()) if rows else 0


# Sending


@dataclass(frozen=True, slots=True)
class Free:
    """How many more may be sent: `total`, of one subscription `each` less its `in_flight`, and none of `busy`."""

    total: int
    each: int
    in_flight: Mapping[str, int]
    busy: Collection[str]


async def claim(connection: AsyncConnection, moment: datetime, lease: datetime, free: Free) -> list[Again]:
    """Takes what is due until `lease`, the longest due first; other processes take others."""
    taken = _due(moment, free).cte("taken")
    statement = (
        update(D).where(D.id == taken.c.id, S.id == D.subscription_id).values(redeliver_at=lease).returning(*_AGAIN)
    )
    return [Again(**row) for row in (await connection.execute(statement)).mappings()]


def _due(moment: datetime, free: Free) -> Select[Any]:
    waiting = select(D.subscription_id).where(D.redeliver_at <= moment).distinct()
    in_flight = cast(dict(free.in_flight), JSONB)[cast(S.id, Text)].astext
    due = (
        select(D.id, D.redeliver_at)
        .where(D.subscription_id == S.id, D.redeliver_at <= moment)
        .order_by(D.redeliver_at, D.id)
        .limit(free.each - func.coalesce(cast(in_flight, Integer), 0))
        .with_for_update(skip_locked=True, of=D)
        .lateral("due")
    )
    may = (S.id.in_(waiting), S.created_by.not_in(list(free.busy)), func.coalesce(S.redeliver_after, moment) <= moment)
    longest_due_first = select(due.c.id).select_from(S).join(due, true()).order_by(due.c.redeliver_at, due.c.id)
    return longest_due_first.where(*may).limit(free.total)


async def record(
    connection: AsyncConnection,
    again: Again,
    answer: Answer,
    moment: datetime,
    next_at: datetime | None,
    wait: timedelta,
) -> None:
    """Records what came back. After a failure it is tried again at `next_at`, if any, and no other before `wait`."""
    if not answer.delivered:  # before the delivery, as everywhere: subscription first
        waits = update(S).where(S.id == again.subscription_id).values(redeliver_after=moment + wait)
        await connection.execute(waits)
    found = await connection.execute(select(D.id).where(D.id == again.id).with_for_update())
    if found.first() is None:
        return
    await connection.execute(pg_insert(A).values(**attempt(again.id, answer, moment, next_at, by_hand=True)))
    values: dict[str, Any] = {"last_status_code": answer.status_code, "last_error": answer.error}
    if answer.delivered:
        values |= {"status": "delivered", "next_attempt_at": None, "claimed_until": None, "finished_at": moment}
    values |= {"redeliver_at": next_at, "redelivery_tries": again.tries + 1}
    ours = true() if answer.delivered else D.redeliver_at == again.lease
    await connection.execute(update(D).where(D.id == again.id, ours).values(**values))


async def give_up(connection: AsyncConnection, again: Again, reason: str) -> None:
    """Sends it no more, and leaves it as it was but for the reason."""
    await connection.execute(update(D).where(D.id == again.id).values(redeliver_at=None, last_error=reason))
