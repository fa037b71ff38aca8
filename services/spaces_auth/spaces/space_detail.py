"""Answers about one space: its details and its subspaces."""

from collections import Counter

from redis.asyncio import Redis

from libs.common.bus.base import Caller, ForAll, told_to_all
from libs.common.contracts.spaces import (
    GetSpace,
    ListSubrooms,
    ResolvedDocument,
    ResolveDocument,
    SpaceDetail,
    Subroom,
    Subrooms,
)
from libs.common.db.engine import Database
from libs.common.spaces import MAIN, SpaceKey
from services.spaces_auth.communities.communities import Communities
from services.spaces_auth.spaces import content_repository, live
from services.spaces_auth.spaces.space_summary import summary
from services.spaces_auth.spaces.visibility import require_visible


class SpaceDetailHandlers:
    """Each raises `not_found` for a space that does not exist or that the caller may not see, and `banned`."""

    def __init__(self, database: Database, redis: Redis, communities: Communities, operators: tuple[str, ...]) -> None:
        self._database = database
        self._redis = redis
        self._communities = communities
        self._operators = operators

    async def get_space(self, caller: Caller, request: GetSpace) -> SpaceDetail | ForAll[SpaceDetail]:
        """Returns the space, the caller's role, and, to those who may enter, the members in it now."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        await self._communities.ensure(space, caller.address)
        async with self._database.read() as connection:
            standing = await require_visible(connection, caller, space, self._operators)
            content = await content_repository.content_of(connection, space)
        users = await live.connected_users(self._redis, space)
        detail = SpaceDetail(
            **vars(summary(standing, content, len(users))),
            connected_users=users if standing.may_enter else [],
            chat_enabled=standing.settings["chat_enabled"],
            voice_enabled=standing.settings["voice_enabled"],
            max_users=standing.settings["max_users"],
            your_role=standing.role.label,
        )
        return told_to_all(caller, detail, alike=not standing.by_address)

    async def resolve_document(self, _: Caller, request: ResolveDocument) -> ResolvedDocument:
        """Returns the id of the space of a document's number. Edges ask; who may see the document is decided after."""
        async with self._database.read() as connection:
            return ResolvedDocument(await content_repository.document_by_number(connection, request.number))

    async def list_subrooms(self, caller: Caller, request: ListSubrooms) -> Subrooms | ForAll[Subrooms]:
        """Returns `main` and every other subspace that has members, the fullest first."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        await self._communities.ensure(space, caller.address)
        async with self._database.read() as connection:
            standing = await require_visible(connection, caller, space, self._operators)
        counts = Counter(member.subspace for member in await live.members(self._redis, space))
        others = [(name, count) for name, count in counts.most_common() if name != MAIN]
        found = Subrooms([Subroom(*row) for row in [(MAIN, counts[MAIN]), *others]])
        return told_to_all(caller, found, alike=not standing.by_address)
