"""Looking at one space."""

from collections import Counter
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Standing
from libs.common.bus.base import Caller
from libs.common.contracts.spaces import (
    GetSpace,
    ListSubrooms,
    SpaceDetail,
    SpaceSummary,
    Subroom,
    Subrooms,
)
from libs.common.db.engine import Database
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.spaces import LOBBY, MAIN, SpaceKey
from services.spaces_auth.spaces import content_repository as repository
from services.spaces_auth.spaces import live

TITLES = {"global": "The lobby", "community": "Community", "event": "Event"}
LOBBY_TEXT = "Where everyone meets: the main social space."


class SpacesHandlers:
    def __init__(self, database: Database, redis: Redis, operators: tuple[str, ...]) -> None:
        self._database, self._redis, self._operators = database, redis, operators

    async def get_space(self, caller: Caller, request: GetSpace) -> SpaceDetail:
        """Raises `not_found` also for what the caller may not see."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read() as connection:
            standing = await self._seen(connection, caller, space)
            content = await repository.content_of(connection, space)
        users = await live.connected_users(self._redis, space)
        return SpaceDetail(
            **vars(summary(standing, content, len(users))),
            connected_users=users,
            chat_enabled=standing.settings["chat_enabled"],
            voice_enabled=standing.settings["voice_enabled"],
            max_users=standing.settings["max_users"],
            your_role=standing.role.label,
        )

    async def list_subrooms(self, caller: Caller, request: ListSubrooms) -> Subrooms:
        """Raises `not_found` also for what the caller may not see."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read() as connection:
            await self._seen(connection, caller, space)
        counts = Counter(record.subspace for record in await live.members(self._redis, space))
        others = [(name, count) for name, count in counts.most_common() if name != MAIN]
        return Subrooms([Subroom(*row) for row in [(MAIN, counts[MAIN]), *others]])

    async def _seen(self, connection: AsyncConnection, caller: Caller, space: SpaceKey) -> Standing:
        standing = await access.look(connection, caller.identity, space, self._operators, caller.address)
        if not standing.may_see:
            raise PresenceError(NOT_FOUND)
        return standing


def summary(standing: Standing, content: Row[Any] | None, active_users: int) -> SpaceSummary:
    """What everyone sees of a space. `content` is None for spaces that no content is behind."""
    space, settings = standing.space, standing.settings
    lobby = space == LOBBY
    return SpaceSummary(
        space_type=space.space_type,
        space_id=space.space_id,
        display_name=content.display_name if content else _title(space),
        description=content.description if content else LOBBY_TEXT if lobby else "",
        type=content.type if content else "lobby" if lobby else space.space_type,
        creator=content.creator if content else None,
        votes=content.votes if content else 0,
        rating=content.rating if content else 0.0,
        active_users=active_users,
        capacity=live.capacity(active_users, settings["max_users"]),
        settings=dict(settings),
        created_at=content.created_at if content else None,
    )


def _title(space: SpaceKey) -> str:
    title = TITLES[space.space_type]
    return title if space == LOBBY else f"{title} {space.space_id}"
