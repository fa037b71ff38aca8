"""SQL of an endpoint's health: since when it fails, how often its owner was told, and that it is disabled."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.webhooks import WebhookSubscription as S
from services.webhook_dispatcher.health.notices_repository import TOLD, Told

HEALTHY: dict[str, Any] = {"failing_since": None, "failing_marks": 0, "failing_marked_at": None, "told": 0}
"""The columns of a subscription that has not failed since it last succeeded."""
OF_FAILURE, OF_END = 1, 2  # values of `told`: its owner knows that it fails, or that it is to end


async def clear(connection: AsyncConnection, ids: Collection[str]) -> None:
    """Of subscriptions that succeeded. Those that had not failed are not written."""
    failing = _locked(S.id.in_(sorted(ids)), S.failing_since.is_not(None))
    await connection.execute(update(S).where(S.id.in_(failing)).values(HEALTHY))


async def mark(connection: AsyncConnection, ids: Collection[str], moment: datetime, apart: timedelta) -> None:
    """Of active subscriptions that failed: since when, and a mark where the last one is `apart`. Others are not
    written, however often they fail."""
    due = _locked(
        S.id.in_(sorted(ids)), S.active, or_(S.failing_marked_at.is_(None), S.failing_marked_at <= moment - apart)
    )
    values = {
        "failing_since": func.coalesce(S.failing_since, moment),
        "failing_marks": S.failing_marks + 1,
        "failing_marked_at": moment,
    }
    await connection.execute(update(S).where(S.id.in_(due)).values(values))


async def first_told(connection: AsyncConnection, ids: Collection[str]) -> list[Told]:
    """Marks those of failing subscriptions as told whose owners were told nothing yet, and returns them."""
    untold = _locked(S.id.in_(sorted(ids)), S.active, S.failing_since.is_not(None), S.told == 0)
    statement = update(S).where(S.id.in_(untold)).values(told=OF_FAILURE).returning(*TOLD)
    return [Told(**row) for row in (await connection.execute(statement)).mappings()]


async def ending(connection: AsyncConnection, before: datetime, marks: int, limit: int) -> list[Told]:
    """Marks those as told of their end that fail since before the moment, and returns at most `limit` of them."""
    asked = (S.failing_since <= before, S.failing_marks >= marks, S.active, S.told < OF_END)
    statement = update(S).where(S.id.in_(_locked(*asked).limit(limit))).values(told=OF_END).returning(*TOLD)
    return [Told(**row) for row in (await connection.execute(statement)).mappings()]


async def ended(connection: AsyncConnection, before: datetime, marks: int, limit: int) -> list[str]:
    """Returns at most `limit` subscriptions that fail since before the moment, with so many marks."""
    asked = (S.failing_since <= before, S.failing_marks >= marks, S.active)
    return [*(await connection.execute(select(S.id).where(*asked).order_by(S.id).limit(limit))).scalars()]


async def disable(connection: AsyncConnection, subscription_id: str, reason: str) -> Told | None:
    """Switches a subscription off; returns it, or None if it was off already."""
    values = {"active": False, "disabled_reason": reason}
    statement = update(S).where(S.id == subscription_id, S.active).values(**values).returning(*TOLD)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return Told(**row) if row else None


async def told(connection: AsyncConnection, subscription_id: str) -> list[Told]:
    """Returns a subscription as a notice has it; none if it is gone."""
    statement = select(*TOLD).where(S.id == subscription_id)
    return [Told(**row) for row in (await connection.execute(statement)).mappings()]


async def withhold(connection: AsyncConnection, subscription_id: str, events: Collection[str]) -> Told | None:
    """Takes events out of what a subscription wants; returns it, or None where none of them was in it."""
    left: Any = S.events
    for event in sorted(events):
        left = func.array_remove(left, event)
    wants = S.events.overlap(sorted(events))
    statement = update(S).where(S.id == subscription_id, wants).values(events=left).returning(*TOLD)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return Told(**row) if row else None


def _locked(*conditions: Any) -> Select[Any]:
    """Selects ids, locked in one order by all."""
    return select(S.id).where(*conditions).order_by(S.id).with_for_update(key_share=True)
