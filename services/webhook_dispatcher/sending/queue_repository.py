"""SQL of the queue of deliveries: who waits, claiming, giving up. Each statement is quick with a million pending."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.webhook_dispatcher.posting.slots import Endpoint, Share, holder_of
from services.webhook_dispatcher.repository import Job

MOST_ENDPOINTS = 200  # of one look
FIRST = "00000000-0000-0000-0000-000000000000"
_FREE = "(d.claimed_until IS NULL OR d.claimed_until <= :moment)"
_DUE = f"d.status = 'pending' AND d.next_attempt_at <= :moment AND {_FREE} AND d.id <> ALL(CAST(:answered AS uuid[]))"

_OPEN = "s.active AND (s.paused_until IS NULL OR s.paused_until <= :moment)"

# From one subscription with something pending to the next, by the index alone: those with nothing cost nothing.
_PENDING = """
WITH RECURSIVE pending AS (
  (SELECT d.subscription_id AS id FROM webhook_deliveries d
    WHERE d.status = 'pending' AND d.subscription_id > :after ORDER BY d.subscription_id LIMIT 1)
  UNION ALL
  SELECT (SELECT d.subscription_id FROM webhook_deliveries d
    WHERE d.status = 'pending' AND d.subscription_id > pending.id ORDER BY d.subscription_id LIMIT 1)
  FROM pending WHERE pending.id IS NOT NULL
)
"""
_WAITING = text(f"""{_PENDING}
SELECT s.id, s.created_by, s.webhook_url, s.is_probed, first.n AS first, retries.n AS retries,
  least(first.since, retries.since) AS since
FROM pending JOIN webhook_subscriptions s ON s.id = pending.id, LATERAL (
  SELECT count(*) AS n, min(due.next_attempt_at) AS since FROM (
    SELECT d.next_attempt_at FROM webhook_deliveries d WHERE d.subscription_id = s.id AND d.attempts = 0 AND {_DUE}
    ORDER BY d.next_attempt_at LIMIT :each) AS due
) AS first, LATERAL (
  SELECT count(*) AS n, min(due.next_attempt_at) AS since FROM (
    SELECT d.next_attempt_at FROM webhook_deliveries d WHERE d.subscription_id = s.id AND d.attempts > 0 AND {_DUE}
    ORDER BY d.next_attempt_at LIMIT :each - first.n) AS due
) AS retries
WHERE {_OPEN} AND s.id <> ALL(CAST(:full AS uuid[])) AND first.n + retries.n > 0
LIMIT :most
""")  # noqa: S608  put together from constants
# An array, and no join: a limit that is no constant is taken for a tenth of all, and for so many PostgreSQL reads every
# delivery there is.
_CLAIM = text(f"""
WITH share AS (
  SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:first AS int[]), CAST(:retries AS int[])) AS s(id, first, retries)
), taken AS (
  SELECT due.id FROM share, LATERAL (
    SELECT d.id FROM webhook_deliveries d WHERE d.subscription_id = share.id AND d.attempts = 0 AND {_DUE}
    ORDER BY d.next_attempt_at LIMIT share.first FOR UPDATE SKIP LOCKED) AS due
  UNION ALL
  SELECT due.id FROM share, LATERAL (
    SELECT d.id FROM webhook_deliveries d WHERE d.subscription_id = share.id AND d.attempts > 0 AND {_DUE}
    ORDER BY d.next_attempt_at LIMIT share.retries FOR UPDATE SKIP LOCKED) AS due
)
UPDATE webhook_deliveries d SET claimed_until = :until FROM webhook_subscriptions s
WHERE d.id = ANY(ARRAY(SELECT id FROM taken)) AND s.id = d.subscription_id AND s.active
RETURNING d.id, d.subscription_id, d.event_id, d.webhook_id, d.event, d.body, d.attempts, d.excused, d.claimed_until,
  s.webhook_url, s.space_type, s.space_id, s.created_by, s.secret_sealed, s.previous_secret_sealed,
  s.previous_secret_until, s.signing_key_sealed, s.is_probed, s.waiting_since
""")  # noqa: S608
_BURY = text("""
UPDATE webhook_deliveries d SET status = 'dead', next_attempt_at = NULL, claimed_until = NULL, finished_at = :moment,
  last_error = given.reason
FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS given(id, reason)
WHERE d.id = given.id AND d.status = 'pending'
""")
_REPLACE = text("""
UPDATE webhook_deliveries d SET body = given.body
FROM unnest(CAST(:ids AS uuid[]), CAST(:bodies AS bytea[])) AS given(id, body) WHERE d.id = given.id
""")

_COUNTS = text("""
SELECT (SELECT count(*) FROM webhook_deliveries WHERE status = 'pending') AS pending,
  (SELECT count(*) FROM webhook_deliveries WHERE status = 'dead' AND finished_at > :since) AS dead,
  (SELECT count(*) FROM webhook_subscriptions WHERE active) AS active,
  (SELECT count(*) FROM webhook_subscriptions WHERE ping_at IS NOT NULL) AS unverified,
  (SELECT count(*) FROM webhook_subscriptions WHERE disabled_reason IS NOT NULL) AS disabled
""")
_OLDEST = text(f"""{_PENDING}
SELECT s.is_probed, min(due.moment) AS moment
FROM pending JOIN webhook_subscriptions s ON s.id = pending.id, LATERAL (
  SELECT min(d.next_attempt_at) AS moment FROM webhook_deliveries d
  WHERE d.subscription_id = s.id AND d.status = 'pending' AND d.next_attempt_at <= :moment AND {_FREE}) AS due
WHERE {_OPEN} AND due.moment IS NOT NULL GROUP BY s.is_probed
""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Look:
    """When the queue is looked at, and what is answered and not recorded yet: nobody is to send that again.

    Of the endpoints those that follow `after` in the order of their ids, but for those that are `full`.
    """

    moment: datetime
    answered: Collection[str] = ()
    full: Collection[str] = ()
    after: str = FIRST


async def waiting(connection: AsyncConnection, look: Look, each: int) -> list[Endpoint]:
    """Returns the endpoints that may be sent to and have deliveries due, with at most `each` of them.

    At most `MOST_ENDPOINTS`, so that a look costs the same however many wait, in the order of their ids.
    """
    values = {
        "moment": look.moment,
        "answered": [*look.answered],
        "full": [*look.full],
        "after": look.after,
        "most": MOST_ENDPOINTS,
        "each": each,
    }
    rows = await connection.execute(_WAITING, values)
    return [
        Endpoint(
            holder_of(str(row.id), row.created_by, row.webhook_url, is_probed=row.is_probed),
            row.first,
            row.retries,
            row.since,
        )
        for row in rows
    ]


async def claim(connection: AsyncConnection, look: Look, until: datetime, shares: Sequence[Share]) -> list[Job]:
    """Claims what is shared out until `until`, the longest due first, and returns it; other processes claim others."""
    values = {
        "moment": look.moment,
        "answered": [*look.answered],
        "until": until,
        "ids": [share.endpoint.holder.subscription_id for share in shares],
        "first": [share.first for share in shares],
        "retries": [share.retries for share in shares],
    }
    return [_job(row) for row in (await connection.execute(_CLAIM, values)).mappings()]


def _job(row: Mapping[Any, Any]) -> Job:
    texts = {name: str(row[name]) for name in ("id", "subscription_id", "event_id")}
    return Job(**{**row, **texts})


async def bury(connection: AsyncConnection, reasons: Mapping[str, str], moment: datetime) -> None:
    """Gives up pending deliveries, unsent; `reasons` are by their ids."""
    await connection.execute(_BURY, {"ids": [*reasons], "reasons": [*reasons.values()], "moment": moment})


async def replace_bodies(connection: AsyncConnection, bodies: Mapping[str, bytes]) -> None:
    await connection.execute(_REPLACE, {"ids": [*bodies], "bodies": [*bodies.values()]})


@dataclass(frozen=True, slots=True)
class Counts:
    """Deliveries that are pending, and dead since a moment; subscriptions that are active, wait
    for an answer to a ping, and are disabled."""

    pending: int
    dead: int
    active: int
    unverified: int
    disabled: int


async def counts(connection: AsyncConnection, since: datetime) -> Counts:
    return Counts(**(await connection.execute(_COUNTS, {"since": since})).mappings().one())


async def oldest_due(connection: AsyncConnection, moment: datetime) -> dict[bool, datetime]:
    """Returns since when the oldest delivery is due, of endpoints that are probed and of the others, if there is one.

    What waits because an endpoint asked for it is not due.
    """
    rows = await connection.execute(_OLDEST, {"moment": moment, "after": FIRST})
    return {row.is_probed: row.moment for row in rows}
