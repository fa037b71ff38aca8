"""What follows where a subscriber lost the right to hear of a space: no event is killed alone, the subscription is
ended or wants less, and its owner is told. Where the document itself is gone there is nothing to lose it of.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action, Standing
from libs.common.errors import PresenceError
from services.webhook_dispatcher import repository
from services.webhook_dispatcher.health import health


@dataclass(frozen=True, slots=True)
class Refusal:
    """`withheld` are the only events that may not be sent any more; none of the space may where it is empty.

    One that `is_alone` is of a document that is gone: it may come back, and its subscription waits for that.
    """

    reason: str
    withheld: frozenset[str] = frozenset()
    is_alone: bool = False


def refusal_of(account: str, standing: Standing, event: str, for_moderators: frozenset[str]) -> Refusal | None:
    """Returns why `account` may not be sent an event, or None if it may."""
    withheld: frozenset[str] = frozenset()
    try:
        standing.require(Action.SUBSCRIBE)
        if event in for_moderators:
            withheld = for_moderators
            standing.require(Action.MODERATE)
    except PresenceError as error:
        reason = f"{account} may not receive this event of the space any more ({error.kind.code})."
        return Refusal(reason, withheld, is_gone(standing))
    return None


def is_gone(standing: Standing) -> bool:
    """Returns whether the space is a document that there is not now."""
    return standing.space.space_type == "document" and not standing.exists


async def refuse(connection: AsyncConnection, subscription_id: str, refusal: Refusal) -> None:
    """Ends a subscription, or takes out of it what is withheld where it wants more than that.

    One whose document is gone stays as it is.
    """
    if refusal.is_alone:
        return
    wanted: Collection[str] = await repository.lock_events(connection, subscription_id)
    if refusal.withheld and not refusal.withheld.issuperset(wanted):
        await health.withhold(connection, subscription_id, refusal.withheld.intersection(wanted), refusal.reason)
    else:
        await repository.disable(connection, subscription_id, refusal.reason)
