"""All SQL of webhook_dispatcher: subscriptions, the queue of deliveries, and what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, Select, Text, cast, delete, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.webhooks import WebhookAttempt as A
from libs.common.db.models.webhooks import WebhookDelivery as D
from libs.common.db.models.webhooks import WebhookSubscription as S
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher.health import health
from services.webhook_dispatcher.retry_schedule import Verdict
from services.webhook_dispatcher.sender import Answer

# Planning


async def wanting(connection: AsyncConnection, space: SpaceKey, events: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Returns (id, events) of the active subscriptions of `space` that want at least one of `events`.

    The rows stay locked against removal and disabling until the transaction ends, so that no delivery is
    planned for one that is just being ended.
    """
    statement = (
        select(S.id, S.events)
        .where(S.space_type == space.space_type, S.space_id == space.space_id, S.active, S.events.overlap(events))
        .with_for_update(read=True)
    )
    return [(row.id, row.events) for row in await connection.execute(statement)]


async def insert_deliveries(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts deliveries; one that exists already stays as it is."""
    statement = pg_insert(D).on_conflict_do_nothing(constraint="uq_webhook_deliveries_event")
    await connection.execute(statement, [dict(row) for row in rows])


# Sending


@dataclass(frozen=True, slots=True)
class Job:
    """A delivery that this process has claimed, with what it needs of its subscription."""

    id: str
    subscription_id: str
    event_id: str
    webhook_id: str
    event: str
    body: bytes
    attempts: int
    claimed_until: datetime
    webhook_url: str
    space_type: str
    space_id: str
    created_by: str
    secret_sealed: bytes
    previous_secret_sealed: bytes | None
    previous_secret_until: datetime | None


_JOB = (
    D.id, D.subscription_id, D.event_id, D.webhook_id, D.event, D.body, D.attempts, D.claimed_until,
    S.webhook_url, S.space_type, S.space_id, S.created_by, S.secret_sealed, S.previous_secret_sealed,
    S.previous_secret_until,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many more deliveries this process may send: `total`, and of one subscription `each` less its `in_flight`."""

    total: int
    each: int
    in_flight: Mapping[str, int]


async def claim(connection: AsyncConnection, moment: datetime, until: datetime, capacity: Capacity) -> list[Job]:
    """Claims due deliveries until `until`, the longest due first, and returns them; other processes claim others."""
    taken = _due(moment, capacity).cte("taken")
    statement = (
        update(D).where(D.id == taken.c.id, S.id == D.subscription_id).values(claimed_until=until).returning(*_JOB)
    )
    return [Job(**row) for row in (await connection.execute(statement)).mappings()]


def _due(moment: datetime, capacity: Capacity) -> Select[Any]:
    """Selects the ids to claim, subscription by subscription, so that a slow one does not hold up the others."""
    in_flight = cast(dict(capacity.in_flight), JSONB)[cast(S.id, Text)].astext
    due = (
        select(D.id, D.next_attempt_at)
        .where(
            D.subscription_id == S.id,
            D.status == "pending",
            D.next_attempt_at <= moment,
            or_(D.claimed_until.is_(None), D.claimed_until <= moment),
        )
        .order_by(D.next_attempt_at)
        .limit(capacity.each - func.coalesce(cast(in_flight, Integer), 0))
        .with_for_update(skip_locked=True, of=D)
        .lateral("due")
    )
    longest_due_first = select(due.c.id).select_from(S).join(due, true()).order_by(due.c.next_attempt_at)
    return longest_due_first.where(S.active).limit(capacity.total)


async def replace_body(connection: AsyncConnection, delivery_id: str, body: bytes) -> None:
    await connection.execute(update(D).where(D.id == delivery_id).values(body=body))


async def record(connection: AsyncConnection, job: Job, answer: Answer, verdict: Verdict, moment: datetime) -> None:
    """Records an attempt that ended at `moment`, and its consequences.

    A failure whose lease has run out changes the count alone: another process holds the delivery by now.
    A success always counts. A delivery that was removed meanwhile stays removed.
    """
    if verdict.disable:  # before the delivery, as everywhere: subscription first
        await connection.execute(select(S.id).where(S.id == job.subscription_id).with_for_update(key_share=True))
    row = (await connection.execute(select(D.status, D.claimed_until).where(D.id == job.id).with_for_update())).first()
    if row is None:
        return
    await connection.execute(pg_insert(A).values(**attempt(job.id, answer, moment, verdict.next_attempt_at)))
    ours = row.status == "pending" and (answer.delivered or row.claimed_until == job.claimed_until)
    changes = _changes(answer, verdict, moment) if ours else {}
    await connection.execute(update(D).where(D.id == job.id).values(attempts=D.attempts + 1, **changes))
    if verdict.disable:
        await disable(connection, job.subscription_id, verdict.disable, moment)
    else:
        await health.note(connection, [health.Outcome(job.subscription_id, job.attempts + 1, answer.error)], moment)


def attempt(
    delivery_id: str, answer: Answer, moment: datetime, next_attempt_at: datetime | None, *, by_hand: bool = False
) -> dict[str, Any]:
    """Returns the row of an attempt that ended at `moment`."""
    return {
        "delivery_id": delivery_id,
        "started_at": moment - timedelta(milliseconds=answer.duration_ms),
        "duration_ms": answer.duration_ms,
        "status_code": answer.status_code,
        "error": answer.error,
        "answer": answer.excerpt,
        "next_attempt_at": next_attempt_at,
        "by_hand": by_hand,
    }


def _changes(answer: Answer, verdict: Verdict, moment: datetime) -> dict[str, Any]:
    return {
        "status": verdict.status,
        "next_attempt_at": verdict.next_attempt_at,
        "claimed_until": None,
        "last_status_code": answer.status_code,
        "last_error": answer.error,
        "finished_at": None if verdict.status == "pending" else moment,
    }


async def disable(connection: AsyncConnection, subscription_id: str, reason: str, moment: datetime) -> None:
    """Ends the subscription and its pending deliveries, and tells its owner."""
    await health.disable(connection, subscription_id, reason)
    await _bury(connection, D.subscription_id == subscription_id, reason, moment)


async def lock_events(connection: AsyncConnection, subscription_id: str) -> list[str]:
    """Locks a subscription and returns the events that it wants; none if it is gone."""
    statement = select(S.events).where(S.id == subscription_id).with_for_update(key_share=True)
    return (await connection.execute(statement)).scalar_one_or_none() or []


async def bury(connection: AsyncConnection, delivery_id: str, reason: str, moment: datetime) -> None:
    """Gives up a pending delivery, unsent."""
    await _bury(connection, D.id == delivery_id, reason, moment)


async def _bury(connection: AsyncConnection, which: Any, reason: str, moment: datetime) -> None:
    values = {"status": "dead", "next_attempt_at": None, "claimed_until": None, "last_error": reason}
    statement = update(D).where(which, D.status == "pending").values(**values, finished_at=moment)
    await connection.execute(statement)


# Looking back


async def prune(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` deliveries that finished before the moment, with their attempts; returns how many."""
    old = select(D.id).where(D.finished_at < before).limit(limit)
    return (await connection.execute(delete(D).where(D.id.in_(old)))).rowcount
