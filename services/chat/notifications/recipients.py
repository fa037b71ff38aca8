"""Decides which accounts a message notifies: those it names, the one it answers, and those with the level `all`."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.chat import Message
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.chat.notifications import accounts_repository
from services.chat.notifications import subscriptions_repository as subscriptions
from services.chat.rules.policy import Policy

MOST_REMEMBERED = 100_000  # accounts that this process has noted


class Recipients:
    """Knows accounts and their levels; the policy decides which of them may read a message."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._remembered: set[str] = set()

    async def remember(self, database: Database, account: str | None) -> None:
        """Stores that the account exists, once a process: from then on it can be mentioned."""
        if account is None or account in self._remembered:
            return
        async with database.transaction() as connection:
            await accounts_repository.remember(connection, account)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered.add(account)

    async def of(
        self, connection: AsyncConnection, space: SpaceKey, messages: Sequence[tuple[Message, str | None]]
    ) -> list[dict[str, str]]:
        """Returns for each message, given with the account that it answers: account → `mention`, `reply` or `message`.

        It leaves out accounts that may not read the message, or have the level `none`.
        """
        kinds = [_named(message, answered) for message, answered in messages]
        levels, readers = await self._listening(connection, space, set().union(*kinds))
        eager = dict.fromkeys((account for account, level in levels.items() if level == "all"), "message")
        return [
            {
                account: kind
                for account, kind in (eager | named_here).items()
                if _is_notified(account, message, named_here, readers)
            }
            for (message, _), named_here in zip(messages, kinds, strict=True)
        ]

    async def named_by(
        self, connection: AsyncConnection, space: SpaceKey, author: str | None, names: Collection[str]
    ) -> dict[str, str]:
        """Returns those of `names` whom a comment of `author` notifies, as `of` does for a message: account → kind."""
        _, readers = await self._listening(connection, space, {name for name in names if name != author})
        return dict.fromkeys(readers, "mention")

    async def _listening(
        self, connection: AsyncConnection, space: SpaceKey, named: Collection[str]
    ) -> tuple[dict[str, str], set[str]]:
        """Returns stored levels, and those of `named` who want to hear of the space and may read it."""
        levels = await subscriptions.levels(connection, space, sorted(named))
        wanting = [a for a in sorted(named) if levels.get(a, subscriptions.DEFAULT_LEVEL) != "none"]
        return levels, await self._policy.readers(connection, wanting, space)

    @staticmethod
    async def known(connection: AsyncConnection, names: Sequence[str]) -> list[str]:
        """Returns those of `names` that are accounts, in their order."""
        known = await accounts_repository.known(connection, names)
        return [name for name in names if name in known]


def _named(message: Message, answered: str | None) -> dict[str, str]:
    """Returns the accounts that a message answers or names, without its author, with the kind of each."""
    kinds = {answered: "reply"} if answered else {}
    kinds |= dict.fromkeys(message.mentions, "mention")
    kinds.pop(message.user_account or "", None)
    return kinds


def _is_notified(account: str, message: Message, named: Mapping[str, str], readers: Collection[str]) -> bool:
    return account in readers if account in named else account != message.user_account
