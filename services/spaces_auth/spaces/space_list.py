"""Lists of spaces: the lobby, then spaces with people, then the rest, in pages that each go on after the last."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from redis.asyncio import Redis
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import DEFAULT_SETTINGS
from libs.common.addresses import limited
from libs.common.bus.base import Caller, ForAll, told_to_all
from libs.common.contracts.spaces import ListSpaces, SpaceList, SpaceSummary
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.roles import is_operator
from libs.common.spaces import LOBBY, SpaceKey
from libs.common.tasks.turns import Turns
from services.spaces_auth.spaces import live
from services.spaces_auth.spaces import space_list_repository as repository
from services.spaces_auth.spaces.space_list_repository import Position, Search
from services.spaces_auth.spaces.space_summary import LOBBY_TEXT, LOBBY_TITLE, summary

MOST_EVENTS = 200  # that nobody is in, in a list that asks for them
_EVENTS = ("event", "community")
_Rank = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_BEGINNING = (2**53, "")  # before all spaces with people


@dataclass
class _Page:
    """A page as it fills. `first` are the spaces that come before the rest, `skip` is what is left of `offset`.

    `next` is the position after which the following page begins; None if this is the last one.
    """

    search: Search
    users: Mapping[SpaceKey, int]
    events: Mapping[SpaceKey, Row[Any]]
    first: Sequence[SpaceKey]
    size: int
    skip: int
    spaces: list[SpaceSummary] = field(default_factory=list)
    next: tuple[Any, ...] | None = None

    @property
    def left(self) -> int:
        """The number of spaces that still have room on the page."""
        return self.size - len(self.spaces)


class SpaceListHandlers:
    """Lists only spaces that the caller may see."""

    def __init__(self, reads: Database, searches: Database, redis: Redis, operators: tuple[str, ...]) -> None:
        self._reads = reads
        self._searches = searches
        self._redis = redis
        self._operators = operators
        self._searching = Turns()

    async def list_spaces(self, caller: Caller, request: ListSpaces) -> SpaceList | ForAll[SpaceList]:
        """Returns a page of spaces; the lobby is the first item of the first page if the filters let it in.

        `total` is exact up to a thousand, an estimate beyond. With `sort=active` a space that fills or empties between
        two pages may be on both, or on neither.
        """
        after = _position(request.cursor)
        lobby = _shows_lobby(request)
        lobby_here = lobby and after is None and request.offset == 0
        search = _search(request, caller, self._operators)
        users = await live.active_spaces(self._redis)
        database, turn = (self._searches, limited(caller.address)) if request.q else (self._reads, "")
        async with self._searching.of(turn), database.read() as connection:
            search = await repository.probed(connection, search)
            events = await _events(connection, request, search, users)
            first = _first(request, users, events)
            skip = max(request.offset - lobby, 0) if after is None else 0
            page = _Page(search, users, events, first, request.limit - lobby_here, skip)
            await _fill(connection, page, after)
            lobbies = [await self._lobby(connection, caller, users)] if lobby_here else []
            total = await repository.total(connection, search) + lobby + len(events)
        spaces = [*lobbies, *page.spaces]
        following = cursor.encode(*page.next) if page.next and spaces else None
        return told_to_all(caller, SpaceList(spaces, total, following))

    async def _lobby(self, connection: AsyncConnection, caller: Caller, users: Mapping[SpaceKey, int]) -> SpaceSummary:
        standing = await access.look(connection, caller.identity, LOBBY, self._operators)
        return summary(standing, None, users.get(LOBBY, 0))


def _position(encoded: str | None) -> tuple[Any, ...] | None:
    """Returns the position in a cursor: users and name of the last space with people, or a `Position` in the rest."""
    if encoded is None:
        return None
    try:
        return cursor.decode(encoded, tuple[cursor.Number, str])
    except PresenceError:
        return cursor.decode(encoded, tuple[_Rank, int, cursor.Text, cursor.Text])


async def _events(
    connection: AsyncConnection, request: ListSpaces, search: Search, users: Mapping[SpaceKey, int]
) -> dict[SpaceKey, Row[Any]]:
    """Returns the events and communities that the list begins with; none where they are not asked for."""
    asked = request.include_events or request.space_type in _EVENTS
    if request.sort != "active" or not asked or request.type is not None or request.q is not None:
        return {}
    return await repository.events(connection, search, [s for s in users if s.space_type in _EVENTS], MOST_EVENTS)


def _first(request: ListSpaces, users: Mapping[SpaceKey, int], events: Collection[SpaceKey]) -> list[SpaceKey]:
    """Returns spaces with people by their number, and the events that were asked for; none for other sorts."""
    if request.sort != "active":
        return []
    wanted = {s for s in users if s.space_type in ("post", "document") and request.space_type in (None, s.space_type)}
    return sorted({*wanted, *events}, key=lambda space: (-users.get(space, 0), str(space)))


async def _fill(connection: AsyncConnection, page: _Page, after: tuple[Any, ...] | None) -> None:
    """Takes spaces with people first, then the rest; sets `next`."""
    among_first = after is None or len(after) == 2
    if among_first:
        await _take_first(connection, page, after or _BEGINNING)
    if page.next is None:
        await _take_rest(connection, page, None if among_first else after)


async def _take_first(connection: AsyncConnection, page: _Page, after: tuple[Any, ...]) -> None:
    spaces = [s for s in page.first if (-page.users.get(s, 0), str(s)) > (-after[0], after[1])]
    most = page.skip + page.left
    rows = await repository.matching(connection, page.search, spaces, most + 1)
    summaries = {SpaceKey(row.space_type, row.space_id): _summary(row, page.users) for row in rows}
    summaries |= {space: _summary(row, page.users) for space, row in page.events.items() if space in spaces}
    shown = [space for space in spaces if space in summaries]
    page.spaces += [summaries[space] for space in shown[page.skip : most]]
    page.skip = max(page.skip - len(shown), 0)
    if len(shown) > most:
        page.next = _last(page)


async def _take_rest(connection: AsyncConnection, page: _Page, after: Position | None) -> None:
    rows = await repository.page(connection, page.search, after, page.first, page.left + 1, page.skip)
    taken = rows[: page.left]
    position = (taken[-1].rank, taken[-1].kind, taken[-1].a, taken[-1].b) if taken else after or _last(page)
    page.spaces += [_summary(row, page.users) for row in taken]
    if len(rows) > len(taken):
        page.next = position


def _last(page: _Page) -> tuple[Any, ...]:
    """Returns the position of the last space with people that is on the page."""
    if not page.spaces:
        return _BEGINNING
    last = page.spaces[-1]
    return last.active_users, f"{last.space_type}:{last.space_id}"


def _search(request: ListSpaces, caller: Caller, operators: tuple[str, ...]) -> Search:
    return Search(
        account=caller.identity.account or "",
        operator=is_operator(caller.identity, operators),
        type=request.type,
        space_type=request.space_type,
        q=request.q,
        rank="by_time" if request.sort == "recent" else "by_votes",
    )


def _shows_lobby(request: ListSpaces) -> bool:
    if request.type not in (None, "lobby") or request.space_type not in (None, "global"):
        return False
    return request.q is None or request.q.lower() in f"{LOBBY_TITLE} {LOBBY_TEXT}".lower()


def _settings(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: (stored or {}).get(name, default) for name, default in DEFAULT_SETTINGS.items()}


def _summary(row: Row[Any], active: Mapping[SpaceKey, int]) -> SpaceSummary:
    settings = _settings(row.settings)
    users = active.get(SpaceKey(row.space_type, row.space_id), 0)
    return SpaceSummary(
        space_type=row.space_type,
        space_id=row.space_id,
        display_name=row.display_name,
        description=row.description,
        type=row.type,
        creator=row.creator,
        votes=row.votes,
        rating=row.rating,
        active_users=users,
        capacity=live.capacity(users, settings["max_users"]),
        settings=settings,
        created_at=row.created_at,
    )
