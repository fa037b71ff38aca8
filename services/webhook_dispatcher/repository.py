"""SQL of deliveries: planned, recorded, and ended with their subscription."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.webhooks import WebhookDelivery as D
from libs.common.db.models.webhooks import WebhookSubscription as S
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher.health import health
from services.webhook_dispatcher.retry_schedule import Verdict
from services.webhook_dispatcher.sender import Answer

# Planning


_WANTING = text("""
SELECT s.id, s.space_type, s.space_id, s.events
FROM unnest(CAST(:types AS text[]), CAST(:ids AS text[])) AS space(type, id)
JOIN webhook_subscriptions s ON s.space_type = space.type AND s.space_id = space.id
WHERE s.active AND s.events && CAST(:names AS text[])
FOR SHARE OF s
""")


async def wanting(
    connection: AsyncConnection, spaces: Collection[SpaceKey], names: Collection[str]
) -> dict[SpaceKey, list[tuple[str, list[str]]]]:
    """Returns (id, events) of the active subscriptions of each space that want at least one of the events.

    The rows stay locked against removal and disabling until the transaction ends, so that no delivery is
    planned for one that is just being ended.
    """
    values = {
        "types": [space.space_type for space in spaces],
        "ids": [space.space_id for space in spaces],
        "names": [*names],
    }
    wanted: dict[SpaceKey, list[tuple[str, list[str]]]] = defaultdict(list)
    for row in await connection.execute(_WANTING, values):
        wanted[SpaceKey(row.space_type, row.space_id)].append((str(row.id), row.events))
    return wanted


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
    signing_key_sealed: bytes | None
    excused: int
    is_probed: bool
    waiting_since: datetime | None


@dataclass(frozen=True, slots=True)
class Made:
    """An attempt that was answered, or was not, by `moment`, and what follows from it."""

    job: Job
    answer: Answer
    verdict: Verdict
    moment: datetime


# A failure whose lease has run out changes the counts alone: another process holds the delivery by now.
_OURS = "d.status = 'pending' AND (made.delivered OR d.claimed_until = made.claimed_until)"
_CHANGED = ("status", "next_attempt_at", "last_status_code", "last_error", "finished_at")
_RECORD = text(f"""
WITH made AS (
  SELECT * FROM unnest(CAST(:id AS uuid[]), CAST(:claimed_until AS timestamptz[]), CAST(:delivered AS bool[]),
    CAST(:excused AS int[]), CAST(:started_at AS timestamptz[]), CAST(:duration_ms AS int[]),
    CAST(:status AS text[]), CAST(:next_attempt_at AS timestamptz[]), CAST(:last_status_code AS int[]),
    CAST(:last_error AS text[]), CAST(:finished_at AS timestamptz[]), CAST(:answer AS text[]))
  AS made(id, claimed_until, delivered, excused, started_at, duration_ms, {", ".join(_CHANGED)}, answer)
), recorded AS (
  UPDATE webhook_deliveries d SET attempts = d.attempts + 1, excused = d.excused + made.excused,
    claimed_until = CASE WHEN {_OURS} THEN NULL ELSE d.claimed_until END,
    {", ".join(f"{name} = CASE WHEN {_OURS} THEN made.{name} ELSE d.{name} END" for name in _CHANGED)}
  FROM made WHERE d.id = made.id RETURNING d.id
)
INSERT INTO webhook_attempts (delivery_id, started_at, duration_ms, status_code, error, next_attempt_at, answer)
SELECT made.id, made.started_at, made.duration_ms, made.last_status_code, made.last_error, made.next_attempt_at,
  made.answer
FROM made JOIN recorded USING (id)
""")  # noqa: S608  put together from constants


async def record(connection: AsyncConnection, attempts: Sequence[Made]) -> None:
    """Records attempts, each of another delivery, and what becomes of their deliveries.

    A success always counts. A delivery that was removed meanwhile stays removed.
    """
    rows = [_made(made) for made in sorted(attempts, key=lambda made: made.job.id)]  # locked in one order by all
    await connection.execute(_RECORD, {name: [row[name] for row in rows] for name in rows[0]})


def _made(made: Made) -> dict[str, Any]:
    answer, verdict = made.answer, made.verdict
    return {
        "id": made.job.id,
        "claimed_until": made.job.claimed_until,
        "delivered": answer.delivered,
        "excused": int(verdict.excused),
        "started_at": made.moment - timedelta(milliseconds=answer.duration_ms),
        "duration_ms": answer.duration_ms,
        "status": verdict.status,
        "next_attempt_at": verdict.next_attempt_at,
        "last_status_code": answer.status_code,
        "last_error": answer.error,
        "finished_at": None if verdict.status == "pending" else made.moment,
        "answer": answer.excerpt,
    }


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What an answer, or none, says of an endpoint: the columns of its subscription."""

    is_probed: bool
    paused_until: datetime | None
    waiting_since: datetime | None


async def note_endpoint(connection: AsyncConnection, subscription_id: str, state: EndpointState) -> None:
    """Keeps what an endpoint's last answer says of it. A pause that is longer already stays."""
    paused_until = func.greatest(S.paused_until, state.paused_until)  # null counts for nothing
    values = {"is_probed": state.is_probed, "waiting_since": state.waiting_since, "paused_until": paused_until}
    await connection.execute(update(S).where(S.id == subscription_id).values(values))


# Ending

# Rows are found and locked first, and then changed by their ids. In one statement the order of the join would follow
# from statistics, and those of a log in which all was delivered know of nothing pending: each row of the batch was
# compared with all that was, longer than a statement may take.
_SOME_PENDING = text("""
SELECT id FROM webhook_deliveries WHERE subscription_id = :subscription_id AND status = 'pending'
LIMIT :limit FOR NO KEY UPDATE
""")
_SOME = text("SELECT id FROM webhook_deliveries WHERE subscription_id = :subscription_id LIMIT :limit FOR UPDATE")
_BURY = text("""
UPDATE webhook_deliveries
SET status = 'dead', next_attempt_at = NULL, claimed_until = NULL, finished_at = :moment, last_error = :reason
WHERE id = ANY(CAST(:ids AS uuid[]))
""")
_REMOVE = text("DELETE FROM webhook_deliveries WHERE id = ANY(CAST(:ids AS uuid[]))")


async def disable(connection: AsyncConnection, subscription_id: str, reason: str) -> None:
    """Ends the subscription and tells its owner. From then on nothing is sent for it; what is pending is buried after
    it, for that may take longer than the end may wait."""
    if await health.disable(connection, subscription_id, reason):
        await connection.execute(update(S).where(S.id == subscription_id).values(is_given_up=True))


async def lock_events(connection: AsyncConnection, subscription_id: str) -> list[str]:
    """Locks a subscription and returns the events that it wants; none if it is gone."""
    statement = select(S.events).where(S.id == subscription_id).with_for_update(key_share=True)
    return (await connection.execute(statement)).scalar_one_or_none() or []


async def bury_some(connection: AsyncConnection, subscription_id: str, moment: datetime, limit: int) -> bool:
    """Gives up at most `limit` deliveries that are pending for a subscription that is given up.

    Returns whether it is done. The reason is the subscription's.
    """
    subscribed = select(S.disabled_reason).where(S.id == subscription_id, S.is_given_up).with_for_update(key_share=True)
    row = (await connection.execute(subscribed)).one_or_none()
    if row is None:
        return True
    found = await connection.execute(_SOME_PENDING, {"subscription_id": subscription_id, "limit": limit})
    ids = [*found.scalars()]
    if ids:
        await connection.execute(_BURY, {"ids": ids, "moment": moment, "reason": row.disabled_reason})
    if len(ids) == limit:
        return False
    await connection.execute(update(S).where(S.id == subscription_id).values(is_given_up=False))
    return True


async def given_up(connection: AsyncConnection) -> list[str]:
    """Returns the subscriptions whose pending deliveries are still to be buried."""
    return [*(await connection.execute(select(S.id).where(S.is_given_up))).scalars()]


# From one subscription with deliveries to the next, by the index alone.
_ORPHANED = text("""
WITH RECURSIVE used AS (
  (SELECT subscription_id AS id FROM webhook_deliveries ORDER BY subscription_id LIMIT 1)
  UNION ALL
  SELECT (SELECT d.subscription_id FROM webhook_deliveries d WHERE d.subscription_id > used.id
    ORDER BY d.subscription_id LIMIT 1) FROM used WHERE used.id IS NOT NULL
)
SELECT used.id FROM used
WHERE used.id IS NOT NULL AND NOT EXISTS (SELECT FROM webhook_subscriptions s WHERE s.id = used.id)
""")


async def orphaned(connection: AsyncConnection) -> list[str]:
    """Returns the ids of subscriptions that are gone, and whose deliveries are not yet."""
    return [str(row.id) for row in await connection.execute(_ORPHANED)]


async def remove_deliveries(connection: AsyncConnection, subscription_id: str, limit: int) -> int:
    """Deletes at most `limit` deliveries of a subscription, with their attempts; returns how many."""
    ids = [*(await connection.execute(_SOME, {"subscription_id": subscription_id, "limit": limit})).scalars()]
    return (await connection.execute(_REMOVE, {"ids": ids})).rowcount if ids else 0


# Looking back


async def prune(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` deliveries that finished before the moment, with their attempts; returns how many."""
    old = select(D.id).where(D.finished_at < before).limit(limit)
    return (await connection.execute(delete(D).where(D.id.in_(old)))).rowcount
