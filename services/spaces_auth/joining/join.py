"""Admits callers to a space over REST, decided from our copy of the primary's data alone."""

from urllib.parse import urlsplit

from redis.asyncio import Redis

from libs.common import access, cache
from libs.common.access import Action
from libs.common.addresses import limited
from libs.common.bus.base import Caller
from libs.common.contracts.spaces import Admitted, Join
from libs.common.db.engine import Database
from libs.common.errors import SPACE_FULL, PresenceError
from libs.common.identity import Identity, new_guest
from libs.common.ids import new_id
from libs.common.roles import Role
from libs.common.spaces import SpaceKey
from libs.common.tokens import Admission
from services.spaces_auth.communities.communities import Communities
from services.spaces_auth.joining.turn import TurnHandlers
from services.spaces_auth.login.signing_keys import SigningKeys
from services.spaces_auth.settings import Settings
from services.spaces_auth.spaces import content_repository, live
from services.spaces_auth.spaces.space_summary import summary


class JoinHandlers:
    """Makes admissions: tokens of the caller's identity for one space."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        redis: Redis,
        keys: SigningKeys,
        turn: TurnHandlers,
        communities: Communities,
    ) -> None:
        self._settings = settings
        self._database = database
        self._redis = redis
        self._keys = keys
        self._turn = turn
        self._communities = communities
        self._websocket_url = _websocket_url(settings.public_url)

    async def join(self, caller: Caller, request: Join) -> Admitted:
        """Admits the caller. Raises `not_found`, `banned`, `forbidden` or `space_full`.

        A caller without a token is admitted as a new guest; the admission is that guest's token, and opens TURN, which
        this answer does not.
        """
        space = SpaceKey.parse(request.space_type, request.space_id)
        await self._communities.ensure(space, caller.address)
        identity = caller.identity if caller.identity.token_id else new_guest(new_id())
        # The epoch is read before the policy: a ban between the two makes the admission old, not the ban late.
        with cache.redis_unavailable():
            epoch = await cache.read_epoch(self._redis, space)
        async with self._database.read() as connection:
            standing = await access.look(connection, identity, space, self._settings.operators, caller.address)
            standing.require(Action.ENTER)
            content = await content_repository.content_of(connection, space)
        used, total = await live.count(self._redis, space), standing.settings["max_users"]
        if used >= total and standing.role < Role.MODERATOR:
            raise PresenceError(SPACE_FULL, details={"capacity": {"used": used, "total": total}})
        with cache.redis_unavailable():
            async with self._redis.pipeline(transaction=False) as pipe:
                await cache.keep_epoch(pipe, space, epoch)
                await live.note_address(pipe, space, identity.key, caller.address)
                await pipe.execute()
        turn, role = self._turn.issue(caller), standing.role.label
        return Admitted(
            success=True,
            space=summary(standing, content, used),
            subspace=request.subspace,
            role=role,
            session_token=await self._admission(
                identity,
                Admission(space, request.subspace, role, epoch, limited(caller.address), standing.muted),
            ),
            turn_credentials=turn,
            ice_servers=turn.iceServers,
            websocket_url=self._websocket_url,
            capacity=live.capacity(used, total),
        )

    async def _admission(self, identity: Identity, admission: Admission) -> str:
        signer = await self._keys.signer()
        token, _ = signer.sign(identity, self._settings.admission_seconds, admission)
        return token


def _websocket_url(public_url: str) -> str:
    """Returns `wss://host` for `https://host`: the argument of the client's `io(...)`, with its default path."""
    parts = urlsplit(public_url)
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"
