"""SQL of redelivery: which deliveries are sent again because somebody asked, outside the schedule.

What is asked for is `redeliver_at`, beside the delivery's own status, which stays until it succeeds: one that fails
again is as dead as before, and says nothing of its endpoint's health.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, exists, func, select, text, true, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.webhooks import Subscription
from libs.common.db.models.event_log import EventLogRow as E
from libs.common.db.models.webhooks import WebhookAttempt as A
from libs.common.db.models.webhooks import WebhookDelivery as D
from libs.common.db.models.webhooks import WebhookSubscription as S
from libs.common.ids import first_at
from services.webhook_dispatcher.posting.slots import Holder, holder_of
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
    signing_key_sealed: bytes | None


_IDS = ("id", "subscription_id", "event_id")


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


MOST_WAITING = 500  # subscriptions that are looked at together
# An array, as where deliveries are claimed that are due.
_CLAIM = text("""
WITH taken AS (
  SELECT due.id FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS int[])) AS share(id, number) CROSS JOIN LATERAL (
    SELECT d.id FROM webhook_deliveries d WHERE d.subscription_id = share.id AND d.redeliver_at <= :moment
    ORDER BY d.redeliver_at, d.id LIMIT share.number FOR UPDATE SKIP LOCKED) due
)
UPDATE webhook_deliveries d SET redeliver_at = :lease FROM webhook_subscriptions s
WHERE d.id = ANY(ARRAY(SELECT id FROM taken)) AND s.id = d.subscription_id AND NOT s.unverified
RETURNING d.id, d.subscription_id, d.event_id, d.webhook_id, d.event, d.body, d.redelivery_tries AS tries,
  d.redeliver_at AS lease, s.webhook_url, s.space_type, s.space_id, s.created_by, s.secret_sealed,
  s.previous_secret_sealed, s.previous_secret_until, s.signing_key_sealed
""")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A subscription that so much may be sent to again."""

    holder: Holder
    number: int


async def waiting(connection: AsyncConnection, moment: datetime) -> list[Waiting]:
    """Returns the subscriptions that something may be sent to again, the longest due first."""
    first, number = func.min(D.redeliver_at).label("first"), func.count().label("number")
    due = select(D.subscription_id, first, number).where(D.redeliver_at <= moment)
    due_of = due.group_by(D.subscription_id).subquery()
    statement = (
        select(S.id, S.created_by, S.webhook_url, due_of.c.number)
        .join(due_of, due_of.c.subscription_id == S.id)
        .where(func.coalesce(S.redeliver_after, moment) <= moment, ~S.unverified)
        .order_by(due_of.c.first)
        .limit(MOST_WAITING)
    )
    rows = await connection.execute(statement)
    return [Waiting(holder_of(row.id, row.created_by, row.webhook_url), row.number) for row in rows]


async def claim(
    connection: AsyncConnection, moment: datetime, lease: datetime, shares: Mapping[str, int]
) -> list[Again]:
    """Takes so many of each subscription until `lease`, the longest due first; other processes take others."""
    values = {"ids": [*shares], "numbers": [*shares.values()], "moment": moment, "lease": lease}
    rows = (await connection.execute(_CLAIM, values)).mappings()
    return [Again(**{**row, **{name: str(row[name]) for name in _IDS}}) for row in rows]


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
    await connection.execute(pg_insert(A).values(**_attempt(again.id, answer, moment, next_at)))
    values: dict[str, Any] = {"last_status_code": answer.status_code, "last_error": answer.error}
    if answer.delivered:
        values |= {"status": "delivered", "next_attempt_at": None, "claimed_until": None, "finished_at": moment}
    values |= {"redeliver_at": next_at, "redelivery_tries": again.tries + 1}
    ours = true() if answer.delivered else D.redeliver_at == again.lease
    await connection.execute(update(D).where(D.id == again.id, ours).values(**values))


def _attempt(delivery_id: str, answer: Answer, moment: datetime, next_at: datetime | None) -> dict[str, Any]:
    return {
        "delivery_id": delivery_id,
        "started_at": moment - timedelta(milliseconds=answer.duration_ms),
        "duration_ms": answer.duration_ms,
        "status_code": answer.status_code,
        "error": answer.error,
        "answer": answer.excerpt,
        "next_attempt_at": next_at,
        "by_hand": True,
    }


async def give_up(connection: AsyncConnection, again: Again, reason: str) -> None:
    """Sends it no more, and leaves it as it was but for the reason."""
    await connection.execute(update(D).where(D.id == again.id).values(redeliver_at=None, last_error=reason))
