"""SQL of subscriptions whose URL has not said yet that it wants webhooks.

One is `unverified` from when it is made, or has another URL, until the endpoint answers a ping. `ping_at` is when the
next one is due, or the lease of the process that is sending one; null while it is paused, disabled or verified.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.webhooks import WebhookSubscription as S
from services.webhook_dispatcher.health.notices_repository import TOLD, Told
from services.webhook_dispatcher.pings.ping import Asked

VERIFIED: dict[str, Any] = {"unverified": False, "ping_at": None, "pings": 0, "ping_error": None}
"""The columns of a subscription whose URL need not be asked."""
_ASKED = (
    S.id, S.created_by, S.webhook_url, S.space_type, S.space_id, S.secret_sealed, S.previous_secret_sealed,
    S.previous_secret_until, S.pings,
)  # fmt: skip


def unverified(moment: datetime, *, is_wanted: bool) -> dict[str, Any]:
    """Returns the columns of a subscription whose URL is to be asked: at once, where it is wanted to work."""
    return {**VERIFIED, "unverified": True, "ping_at": moment if is_wanted else None, "active": False}


async def due(connection: AsyncConnection, moment: datetime, limit: int) -> list[Asked]:
    """Locks and returns those whose ping is due, the longest due first, but for those that others have locked."""
    statement = select(*_ASKED).where(S.ping_at <= moment).order_by(S.ping_at).limit(limit)
    rows = await connection.execute(statement.with_for_update(skip_locked=True, key_share=True))
    return [Asked(**row) for row in rows.mappings()]


async def asked(connection: AsyncConnection, subscription_id: str) -> Asked | None:
    """Returns a subscription that is not verified; None for any other."""
    row = (await connection.execute(select(*_ASKED).where(S.id == subscription_id, S.unverified))).mappings()
    found = row.one_or_none()
    return Asked(**found) if found else None


async def put_off(connection: AsyncConnection, ids: Collection[str], until: datetime) -> None:
    """Sets when the next ping of subscriptions is due; for those that are being pinged that is their lease."""
    await connection.execute(update(S).where(S.id.in_(sorted(ids))).values(ping_at=until))


async def verify(connection: AsyncConnection, one: Asked) -> bool:
    """Of a URL that said yes, unless the subscription has another one by now: it works, if it only waited for that."""
    asked_for = (S.id == one.id, S.webhook_url == one.webhook_url, S.unverified)
    values = {**VERIFIED, "active": S.ping_at.is_not(None)}
    return (await connection.execute(update(S).where(*asked_for).values(**values))).rowcount > 0


async def failed(connection: AsyncConnection, one: Asked, lease: datetime, error: str, again: datetime) -> None:
    """Of a URL that did not say yes, unless the subscription was changed meanwhile."""
    values = {"pings": one.pings + 1, "ping_error": error, "ping_at": again}
    await connection.execute(update(S).where(S.id == one.id, S.ping_at == lease).values(**values))


async def give_up(connection: AsyncConnection, one: Asked, lease: datetime, error: str, reason: str) -> Told | None:
    """Disables a subscription whose URL is asked no more; returns it, or None if it was changed meanwhile."""
    values = {"ping_at": None, "pings": 0, "ping_error": error, "disabled_reason": reason, "is_given_up": True}
    statement = update(S).where(S.id == one.id, S.ping_at == lease).values(**values).returning(*TOLD)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return Told(**row) if row else None


async def release(connection: AsyncConnection) -> int:
    """Has all that wait for an answer work without one; returns how many."""
    waits = update(S).where(S.unverified).values(**{**VERIFIED, "active": S.ping_at.is_not(None)})
    return (await connection.execute(waits)).rowcount
