"""networked-aframe's room names: a space key, or `author-permlink-subspace` resolved against the posts that exist."""

from collections.abc import Iterator

from libs.common.bus.base import Caller
from libs.common.contracts.spaces import ResolvedRoom, ResolveRoom
from libs.common.db.engine import Database
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.spaces import MAIN, SpaceKey, check_subspace
from services.spaces_auth.spaces import content_repository

MOST_DASHES = 40  # of a room name; every pair of them is a way to read it
type Reading = tuple[str, str, str]  # author, permlink, subspace


class RoomNameHandlers:
    """Resolves names; it does not decide who may enter."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def resolve(self, _: Caller, request: ResolveRoom) -> ResolvedRoom:
        """Returns the space and subspace that the name means.

        Raises `invalid_input` for a malformed key, `not_found` if no post is meant. That a post exists reveals nothing:
        entering is decided afterwards, and answers the same for a hidden post as for none.
        """
        if ":" in request.room:
            return _of_key(request.room)
        readings = {(author, permlink): subspace for author, permlink, subspace in _readings(request.room)}
        if not readings:
            raise PresenceError(NOT_FOUND)
        async with self._database.read() as connection:
            posts = await content_repository.existing_posts(connection, list(readings))
        if not posts:
            raise PresenceError(NOT_FOUND)
        author, permlink = max(posts, key=lambda post: len(post[1]))  # leaving least to the subspace
        return ResolvedRoom("post", f"{author}/{permlink}", readings[author, permlink])


def _of_key(text: str) -> ResolvedRoom:
    space_type, _, rest = text.partition(":")
    space_id, _, subspace = rest.partition(":")
    key = SpaceKey.parse(space_type, space_id)
    return ResolvedRoom(key.space_type, key.space_id, check_subspace(subspace or MAIN))


def _readings(room: str) -> Iterator[Reading]:
    """Yields every way to cut the name at dashes into author, permlink and, perhaps, subspace."""
    parts = room.split("-")
    if len(parts) > MOST_DASHES:
        return
    for first in range(1, len(parts)):
        author = "-".join(parts[:first])
        for second in range(len(parts) - 1, first, -1):
            yield author, "-".join(parts[first:second]), "-".join(parts[second:])
        yield author, "-".join(parts[first:]), MAIN
