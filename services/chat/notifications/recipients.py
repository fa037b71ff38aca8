"""Who is told of a message: whom it names, whom it answers, and who wants to hear of everything."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.chat import Message
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.chat.notifications import subscriptions_repository as repository
from services.chat.rules.policy import Policy

MOST_REMEMBERED = 100_000  # accounts that this process has noted


class Recipients:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._remembered: set[str] = set()

    async def remember(self, database: Database, account: str | None) -> None:
        """Note that the account exists, once for a process: from then on it can be mentioned."""
        if account is None or account in self._remembered:
            return
        async with database.transaction() as connection:
            await repository.remember(connection, account)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered.add(account)

    async def of(
        self, connection: AsyncConnection, space: SpaceKey, messages: Sequence[tuple[Message, str | None]]
    ) -> list[dict[str, str]]:
        """For each message, with the account that it answers: account → mention, reply or message.

        Nobody is told of what they may not see, or asked not to hear of.
        """
        kinds = [_named(message, answered) for message, answered in messages]
        named = sorted(set().union(*kinds))
        levels = await repository.levels(connection, space, named)
        wanting = [account for account in named if levels.get(account, repository.DEFAULT_LEVEL) != "none"]
        told = await self._policy.readers(connection, wanting, space)
        eager = dict.fromkeys((account for account, level in levels.items() if level == "all"), "message")
        return [
            {account: kind for account, kind in (eager | mine).items() if _hears(account, message, mine, told)}
            for (message, _), mine in zip(messages, kinds, strict=True)
        ]

    @staticmethod
    async def known(connection: AsyncConnection, names: Sequence[str]) -> list[str]:
        """Those of `names` that are accounts, in their order."""
        known = await repository.known(connection, names)
        return [name for name in names if name in known]


def _named(message: Message, answered: str | None) -> dict[str, str]:
    """Whom a message answers or names, but its author."""
    kinds = {answered: "reply"} if answered else {}
    kinds |= dict.fromkeys(message.mentions, "mention")
    kinds.pop(message.user_account or "", None)
    return kinds


def _hears(account: str, message: Message, named: Mapping[str, str], told: Collection[str]) -> bool:
    return account in told if account in named else account != message.user_account
