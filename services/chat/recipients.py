"""Who is told of a message: whom it names, whom it answers, and who wants to hear of everything."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.chat import Message
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.chat import subscriptions_repository as repository
from services.chat.policy import Policy

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

    async def of(self, connection: AsyncConnection, message: Message, answered: str | None) -> dict[str, str]:
        """Account → mention, reply or message. Nobody is told of what they may not see, or asked not to hear."""
        kinds = {answered: "reply"} if answered else {}
        kinds |= dict.fromkeys(message.mentions, "mention")
        kinds.pop(message.user_account or "", None)
        space = SpaceKey(message.space_type, message.space_id)
        levels = await repository.levels(connection, space, list(kinds))
        for account in list(kinds):
            wanted = levels.pop(account, repository.DEFAULT_LEVEL) != "none"
            if not (wanted and await self._policy.may_see(connection, account, space)):
                del kinds[account]
        levels.pop(message.user_account or "", None)
        return {**dict.fromkeys(levels, "message"), **kinds}

    @staticmethod
    async def known(connection: AsyncConnection, names: Sequence[str]) -> list[str]:
        """Those of `names` that are accounts, in their order."""
        known = await repository.known(connection, names)
        return [name for name in names if name in known]
