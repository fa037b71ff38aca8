"""Finding spaces and looking at one."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access, cursor
from libs.common.access import DEFAULT_SETTINGS, Standing
from libs.common.bus.base import Caller
from libs.common.contracts.spaces import GetSpace, ListSpaces, SpaceDetail, SpaceList, SpaceSummary
from libs.common.db.engine import Database
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.spaces import LOBBY, SpaceKey
from services.spaces_auth import live
from services.spaces_auth import spaces_repository as repository
from services.spaces_auth.spaces_repository import Search

_TITLES = {"global": "The lobby", "community": "Community", "event": "Event"}
_LOBBY_TEXT = "Where everyone meets: the main social space."


class SpacesHandlers:
    def __init__(self, database: Database, redis: Redis, operators: tuple[str, ...]) -> None:
        self._database, self._redis, self._operators = database, redis, operators

    async def list_spaces(self, caller: Caller, request: ListSpaces) -> SpaceList:
        """What the caller may see; the lobby is the first item wherever the filters let it in."""
        offset = cursor.decode(request.cursor, tuple[cursor.Number])[0] if request.cursor else request.offset
        lobby = 1 if _shows_lobby(request) else 0
        here = lobby if offset == 0 else 0
        search = Search(
            account=caller.identity.account or "",
            operator=access.is_operator(caller.identity, self._operators),
            type=request.type,
            space_type=request.space_type,
            q=request.q,
            sort=request.sort,
            limit=request.limit - here,
            offset=max(offset - lobby, 0),
        )
        active = await live.active_spaces(self._redis)
        async with self._database.read() as connection:
            rows, total = await repository.find(connection, search, active)
            first = [await self._lobby(connection, caller, active)] if here else []
        spaces = [*first, *map(_summary_of_row, rows)]
        more = offset + len(spaces) < total + lobby and bool(spaces)
        return SpaceList(spaces, total + lobby, cursor.encode(offset + len(spaces)) if more else None)

    async def _lobby(self, connection: AsyncConnection, caller: Caller, active: Mapping[SpaceKey, int]) -> SpaceSummary:
        standing = await access.look(connection, caller.identity, LOBBY, self._operators)
        return summary(standing, None, active.get(LOBBY, 0))

    async def get_space(self, caller: Caller, request: GetSpace) -> SpaceDetail:
        """Raises `not_found` also for what the caller may not see."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read() as connection:
            standing = await access.look(connection, caller.identity, space, self._operators)
            if not standing.may_see:
                raise PresenceError(NOT_FOUND)
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


def _shows_lobby(request: ListSpaces) -> bool:
    if request.type not in (None, "lobby") or request.space_type not in (None, "global"):
        return False
    return request.q is None or request.q.lower() in f"{_TITLES['global']} {_LOBBY_TEXT}".lower()


def summary(standing: Standing, content: Row[Any] | None, active_users: int) -> SpaceSummary:
    """What everyone sees of a space. `content` is None for spaces that no content is behind."""
    space, settings = standing.space, standing.settings
    lobby = space == LOBBY
    return SpaceSummary(
        space_type=space.space_type,
        space_id=space.space_id,
        display_name=content.display_name if content else _title(space),
        description=content.description if content else _LOBBY_TEXT if lobby else "",
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
    title = _TITLES[space.space_type]
    return title if space == LOBBY else f"{title} {space.space_id}"


def _summary_of_row(row: Row[Any]) -> SpaceSummary:
    stored = row.settings or {}
    settings = {name: stored.get(name, default) for name, default in DEFAULT_SETTINGS.items()}
    return SpaceSummary(
        space_type=row.space_type,
        space_id=row.space_id,
        display_name=row.display_name,
        description=row.description,
        type=row.type,
        creator=row.creator,
        votes=row.votes,
        rating=row.rating,
        active_users=row.active_users,
        capacity=live.capacity(row.active_users, settings["max_users"]),
        settings=settings,
        created_at=row.created_at,
    )
