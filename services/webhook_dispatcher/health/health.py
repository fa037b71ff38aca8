"""An endpoint's health: what attempts say of it, and what its owner is told.

`failing_since` is the first failure after the last success. The owner is told when a delivery has failed the fourth
time, a day before the endpoint is disabled, and when it is. Redeliveries by hand say nothing here.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.webhook_dispatcher.health import health_repository as repository
from services.webhook_dispatcher.health.notices_repository import DISABLED, FAILING, Notice, tell

TELLING_FAILURE = 4  # of one delivery
LONGEST_FAILING = timedelta(days=5)
MARKS, APART = 3, timedelta(hours=12)  # failures in that time, so far apart: a consumer that sleeps is not failing


@dataclass(frozen=True, slots=True)
class Outcome:
    """An attempt. `attempts` counts those of its delivery, with this one; `error` is None for success."""

    subscription_id: str
    attempts: int
    error: str | None


async def note(connection: AsyncConnection, outcomes: Sequence[Outcome], moment: datetime) -> None:
    """Keeps what attempts that ended at `moment` say of their endpoints, and tells owners. Of those that both failed
    and succeeded the success holds."""
    succeeded = {one.subscription_id for one in outcomes if one.error is None}
    failed = {one.subscription_id: one for one in outcomes if one.subscription_id not in succeeded}
    if succeeded:
        await repository.clear(connection, succeeded)
    if failed:
        await repository.mark(connection, failed, moment, APART)
    fourth = {one.subscription_id for one in outcomes if one.attempts >= TELLING_FAILURE} & failed.keys()
    if fourth:
        told = await repository.first_told(connection, fourth)
        await tell(connection, [Notice(FAILING, row, _fails(failed[row.id].error, row.failing_since)) for row in told])


def _fails(error: str | None, since: datetime | None) -> str:
    if since is None:
        raise ValueError("it is not failing")
    end = day(ends_at(since))
    return f"has failed since {day(since)}: {error} It is tried again; if it only fails, it is disabled on {end}."


async def disable(connection: AsyncConnection, subscription_id: str, reason: str) -> bool:
    """Switches a subscription off, and tells its owner why. Returns whether it was on."""
    row = await repository.disable(connection, subscription_id, reason)
    if row is None:
        return False
    await tell(connection, [Notice(DISABLED, row, f"was disabled: {reason}")])
    return True


async def tell_of(connection: AsyncConnection, subscription_id: str, said: str) -> None:
    """Tells a subscription's owner what somebody else did to it, before it is gone."""
    await tell(connection, [Notice(DISABLED, row, said) for row in await repository.told(connection, subscription_id)])


async def withhold(connection: AsyncConnection, subscription_id: str, events: Collection[str], reason: str) -> None:
    """Takes events out of what a subscription wants, and tells its owner why. It must want others too."""
    row = await repository.withhold(connection, subscription_id, events)
    if row is not None:
        await tell(connection, [Notice(DISABLED, row, f"is sent {', '.join(sorted(events))} no more: {reason}")])


def ends_at(since: datetime) -> datetime:
    """Returns when an endpoint is disabled that only fails."""
    return since + LONGEST_FAILING


def day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
