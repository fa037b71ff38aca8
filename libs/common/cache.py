"""Every Redis key and channel, and what it holds.

Keys of a space carry the hash tag `{type:id}`, so that what one script touches is on one node of a
Redis Cluster. Keys of a replica carry `{replica:id}`.

| key | type | holds | lives |
|---|---|---|---|
| `{space}:members` | hash | socket id → member record (JSON) | while anyone is there |
| `{space}:entities` | hash | entity id → spawned entity (JSON) | while its owner is there |
| `{space}:version` | string | presence version, raised by every join and leave | for ever |
| `{space}:epoch` | string | access epoch, raised by bans, revocations, settings | for ever |
| `{space}:wire` | channel | frames between replicas: presence, poses, durable events | - |
| `presence:replicas` | sorted set | replica id → lease expiry (Redis time, ms) | - |
| `presence:active` | sorted set | space → sockets in it; the popular-spaces cache | - |
| `{replica:id}:spaces` | set | spaces where the replica has members | while the replica lives |
| `auth:challenge:*` | string | nonce of a login challenge → account | 5 min, spent once |
| `auth:denied:*` | string | `jti` of a logged-out token, `sid` of its login | until the last token would have expired |
| `hive:authority:*` | string | an account's posting authority (JSON) | 60 s |
| `sync:status` | string | the replica's status, as `/health` shows it (JSON) | 300 s |
| `presence:accounts` | channel | socket events for one account's sockets, wherever they are (`ToAccount`) | - |
| `LIMITS:*` | the `limits` library's | rate-limit windows | their window |
"""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey

REPLICAS = "presence:replicas"
ACTIVE = "presence:active"
ACCOUNTS = "presence:accounts"
TIMEOUT = 3.0  # seconds for a command; an edge's caller waits five
SYNC_STATUS = "sync:status"
SYNC_STATUS_SECONDS = 300


def members(space: SpaceKey) -> str:
    return f"{{{space}}}:members"


def version(space: SpaceKey) -> str:
    return f"{{{space}}}:version"


def epoch(space: SpaceKey) -> str:
    return f"{{{space}}}:epoch"


def entities(space: SpaceKey) -> str:
    return f"{{{space}}}:entities"


def wire(space: SpaceKey) -> str:
    return f"{{{space}}}:wire"


def replica_spaces(replica_id: str) -> str:
    return f"{{replica:{replica_id}}}:spaces"


def challenge(nonce: str) -> str:
    return f"auth:challenge:{nonce}"


def denied(token_or_session_id: str) -> str:
    return f"auth:denied:{token_or_session_id}"


def denials(identity: Identity) -> list[str]:
    """Keys, each of which denies the token: its own, and that of the login it came from."""
    return [denied(name) for name in (identity.token_id, identity.session_id) if name]


def authority(account: str) -> str:
    return f"hive:authority:{account}"


class RedisClient:
    """One connection pool; `redis` is the client itself. Commands fail at once when Redis is away."""

    def __init__(self, url: str) -> None:
        self.redis: Redis = Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 1)
        )

    async def start(self) -> None:
        """Nothing to do: connections are made when first needed."""

    async def stop(self) -> None:
        await self.redis.aclose()


class redis_unavailable:  # noqa: N801  reads as a statement
    """`with redis_unavailable():` turns a Redis that is away into the contract's `unavailable`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RedisError | OSError | TimeoutError):
            raise PresenceError(UNAVAILABLE, "Live state is away for a moment.") from error


async def read_epoch(redis: Redis, space: SpaceKey) -> int:
    """The space's access epoch; 0 where none was ever raised."""
    return int(await redis.get(epoch(space)) or 0)


async def raise_epoch(redis: Redis, space: SpaceKey) -> int:
    """Make every admission to the space be authorised again."""
    return int(await redis.incr(epoch(space)))
