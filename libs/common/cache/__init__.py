"""Every Redis key and channel, and what it holds.

Keys of a space carry the hash tag `{type:id}`, so that what one script touches is on one node of a
Redis Cluster. Keys of a replica carry `{replica:id}`.

| key | type | holds | lives |
|---|---|---|---|
| `{space}:members` | hash | socket id → member record (JSON) | while anyone is there |
| `{space}:people` | hash | person (or socket id) → its sockets and their subspaces | while anyone is there |
| `{space}:owners` | set | subspace:person of those who spawned entities | while anyone is there |
| `{space}:entities:<subspace>:<person>` | hash | subspace:entity id → entity (JSON) | while its owner is there |
| `{space}:things` | hash | subspace:thing id → thing (JSON) | while anyone is in the subspace |
| `{space}:thing-counts` | hash | number and bytes of things, and holds, by space, socket, owner, address | as long |
| `{space}:thing-holders` | hash | socket id → names of the things that it holds (JSON) | while it holds any |
| `{space}:thing-version` | string | raised by every change of a thing | 1 h after the last member left |
| `{space}:dropped` | hash | socket id of a connection that broke → 1 | the grace period, each |
| `{space}:version` | string | presence version, raised by every join and leave | 1 h after the last member left |
| `{space}:epoch` | string | access epoch, raised by bans, revocations, settings | 6 h after it was set |
| `{space}:epoch_seq` | string | `seq` of the last event that raised it | as long |
| `{space}:address:*` | string | the address that an `Identity.key` came from last, for bans | 2 h after its last join |
| `{space}:wire` | channel | frames between replicas: presence, poses, durable events | - |
| `presence:replicas` | sorted set | replica id → lease expiry (Redis time, ms) | - |
| `presence:active` | sorted set | space → sockets in it; the popular-spaces cache | - |
| `{replica:id}:spaces` | set | spaces where the replica has members | while the replica lives |
| `auth:challenge:*` | string | nonce of a login challenge → account | 5 min, spent once |
| `auth:wallet:*` | string | a client's own challenge, with the account or key that signed it and used it up | 5 min |
| `auth:jwks` | string | the public keys of tokens (JSON list of JWKs), by spaces_auth alone | as long as a token |
| `auth:denied:*` | string | `jti` of a logged-out token, `sid` of its login | until the last token would have expired |
| `auth:logouts` | stream | `id`: the `jti` or `sid` of each logout, for live sockets | the last 10,000 |
| `health:probe` | string | nothing: a gateway tries whether it can be written | 60 s |
| `primary:notice:*` | string | a notice of the primary (SHA-256 of its id) that was taken | 11 min |
| `guests:salt` | string | of the ids of guests without a token | for ever |
| `hive:authority:*` | string | an account's posting authority (JSON) | 60 s |
| `sync:status` | string | the replica's status after the last cycle (JSON); its readers take the ages | a week |
| `backup:status` | string | how backups are, as `/api/health` shows it with their ages (JSON) | for ever |
| `content:wanted` | sorted set | posts that somebody opened before their texts were there | until Hive is asked |
| `presence:changes` | channel | what changed, and where: `chat.message_posted post:bob/x`, `access post:bob/x` | - |
| `presence:accounts` | channel | socket events for one account's sockets, wherever they are (`ToAccount`) | - |
| `LIMITS:*` | the `limits` library's | rate-limit windows | their window |
"""

from collections.abc import Sequence
from typing import Any

from redis import exceptions as redis_errors
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey

REPLICAS = "presence:replicas"
ACTIVE = "presence:active"
ACCOUNTS = "presence:accounts"
CHANGES = "presence:changes"
ACCESS = "access"  # on that channel: who may see or enter a space changed
LOGOUTS = "auth:logouts"
JWKS = "auth:jwks"
GUEST_SALT = "guests:salt"
HEALTH_PROBE = "health:probe"
HEALTH_PROBE_SECONDS = 60
LOGOUTS_KEPT = 10_000  # about
ADDRESSES_SECONDS = 7200  # an admission's life
EPOCH_SECONDS = 6 * 3600
VERSION_SECONDS = 3600
TIMEOUT = 3.0  # seconds for a command; an edge's caller waits five
MOST_CONNECTIONS = 64  # of a process
SYNC_STATUS = "sync:status"
SYNC_STATUS_SECONDS = 7 * 86_400  # long after the worker ended, it still says since when
BACKUP_STATUS = "backup:status"
CONTENT_WANTED = "content:wanted"
MOST_WANTED = 1000  # posts


def members(space: SpaceKey) -> str:
    return f"{{{space}}}:members"


def people(space: SpaceKey) -> str:
    return f"{{{space}}}:people"


def dropped(space: SpaceKey) -> str:
    return f"{{{space}}}:dropped"


def version(space: SpaceKey) -> str:
    return f"{{{space}}}:version"


def epoch(space: SpaceKey) -> str:
    return f"{{{space}}}:epoch"


def epoch_seq(space: SpaceKey) -> str:
    return f"{{{space}}}:epoch_seq"


def address(space: SpaceKey, person: str) -> str:
    """Returns the key of one `Identity.key`: fields of a hash have no end of their own."""
    return f"{{{space}}}:address:{person}"


def entity_owners(space: SpaceKey) -> str:
    return f"{{{space}}}:owners"


def entities(space: SpaceKey, home: str) -> str:
    """`home` is `subspace:owner`."""
    return f"{{{space}}}:entities:{home}"


def things(space: SpaceKey) -> str:
    return f"{{{space}}}:things"


def thing_counts(space: SpaceKey) -> str:
    return f"{{{space}}}:thing-counts"


def thing_holders(space: SpaceKey) -> str:
    return f"{{{space}}}:thing-holders"


def thing_version(space: SpaceKey) -> str:
    return f"{{{space}}}:thing-version"


def wire(space: SpaceKey) -> str:
    return f"{{{space}}}:wire"


def replica_spaces(replica_id: str) -> str:
    return f"{{replica:{replica_id}}}:spaces"


def challenge(nonce: str) -> str:
    return f"auth:challenge:{nonce}"


def wallet_challenge(text: str, who: str) -> str:
    """`who` is an account or a public key."""
    return f"auth:wallet:{text}:{who}"


def denied(token_or_login_id: str) -> str:
    return f"auth:denied:{token_or_login_id}"


def denials(identity: Identity) -> list[str]:
    """Keys, each of which denies the token: its own, and that of the login it came from."""
    return [denied(name) for name in (identity.token_id, identity.login_id) if name]


def primary_notice(digest: str) -> str:
    return f"primary:notice:{digest}"


def authority(account: str) -> str:
    return f"hive:authority:{account}"


def connection_pool(url: str, **options: Any) -> BlockingConnectionPool:
    """Returns a pool in which a command waits for a connection when all are in use: a burst is no failure of Redis."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        **options,
    )


def is_away(error: Exception) -> bool:
    """Returns whether an error means that Redis is not there.

    Any other of its errors is an answer, and nothing to go on without: so is a refused password, which the library
    counts among the lost connections, and so is a pool that a flood has emptied.
    """
    if isinstance(error, redis_errors.AuthenticationError | redis_errors.AuthorizationError):
        return False
    if isinstance(error, redis_errors.ConnectionError) and _POOL_EMPTY in str(error):
        return False
    return isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError)


_POOL_EMPTY = "No connection available"  # by which `BlockingConnectionPool` says so


class RedisClient:
    """One connection pool; `redis` is the client itself. Commands fail at once when Redis is away."""

    def __init__(self, url: str) -> None:
        self.redis: Redis = Redis(connection_pool=connection_pool(url, retry=Retry(NoBackoff(), 1)))

    async def start(self) -> None:
        """Nothing to do: connections are made when first needed."""

    async def stop(self) -> None:
        await self.redis.aclose()


class redis_unavailable:  # noqa: N801  reads as a statement
    """`with redis_unavailable():` turns a Redis that is away into `unavailable`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RedisError | OSError | TimeoutError):
            raise PresenceError(UNAVAILABLE, "Live state is away for a moment.") from error


async def guest_salt(redis: Redis, fresh: str) -> str:
    """The salt that all gateways share; `fresh`, if there is none yet."""
    kept: Any = await redis.set(GUEST_SALT, fresh, nx=True, get=True)
    return str(kept.decode()) if kept else fresh


async def read_epoch(redis: Redis, space: SpaceKey) -> int:
    """Returns the space's access epoch, or for a space that has none the one to give it, by the clock of Redis.

    Makes nothing: anybody may ask about any name. What was decided under an epoch that `keep_epoch` did not get kept is
    old, and is decided again.
    """
    kept = await redis.get(epoch(space))
    if kept:
        return int(kept)
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def keep_epoch(redis: Redis, space: SpaceKey, value: int) -> None:
    """Gives a space that exists the epoch that `read_epoch` returned, if it has none.

    One that ended, or that Redis lost, begins again at the clock: no older admission has that one.
    """
    await redis.set(epoch(space), value, nx=True, ex=EPOCH_SECONDS)


EVEN_WHEN_FULL = "#!lua flags=allow-oom\n"
"""First line of a script that must run though Redis is at its memory limit, where anything else that may grow is
refused: it keeps those inside as they are, lets them go, or takes access away."""

_RAISE = f"""
if redis.call('EXISTS', KEYS[1]) == 0 then
  local t = redis.call('TIME')
  redis.call('SET', KEYS[1], string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)))
end
local raised = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], {EPOCH_SECONDS})
redis.pcall('PUBLISH', '{CHANGES}', '{ACCESS} ' .. string.match(KEYS[1], '{{(.*)}}'))
return raised
"""


async def read_epochs(redis: Redis, spaces: Sequence[SpaceKey]) -> dict[SpaceKey, int]:
    """The epochs of many spaces in one batch; 0 for one that Redis does not have, which no admission has."""
    async with redis.pipeline(transaction=False) as pipe:
        for space in spaces:
            pipe.get(epoch(space))
        epochs = await pipe.execute()
    return {space: int(value or 0) for space, value in zip(spaces, epochs, strict=True)}


async def raise_epoch(redis: Redis, space: SpaceKey) -> int:
    """Make every admission to the space be authorised again."""
    return int(await redis.eval(EVEN_WHEN_FULL + _RAISE, 1, epoch(space)))


async def raise_epochs(redis: Redis, spaces: Sequence[SpaceKey]) -> None:
    """Makes every admission to these spaces be authorised again, in one batch."""
    await _raise_in_one_batch(redis, [epoch(space) for space in spaces])


async def _raise_in_one_batch(redis: Redis, keys: Sequence[str]) -> None:
    async with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.eval(EVEN_WHEN_FULL + _RAISE, 1, key)
        await pipe.execute()


# KEYS: epoch, epoch_seq. ARGV: seq.
_RAISE_FOR = f"""
if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', {EPOCH_SECONDS})
{_RAISE}
"""


async def raise_every_epoch(redis: Redis) -> int:
    """Makes every admission to any space be authorised again; returns how many spaces had one that may be old.

    It looks for keys, which the users of the services may not: it is for whoever administers the server.
    """
    keys = [key async for key in redis.scan_iter(match="{*}:epoch", count=1000)]
    await _raise_in_one_batch(redis, keys)
    return len(keys)


async def raise_epoch_for(redis: Redis, space: SpaceKey, seq: int) -> None:
    """Raises the access epoch for the event `seq` of the space, once for each: it may be called any number of times."""
    await redis.eval(EVEN_WHEN_FULL + _RAISE_FOR, 2, epoch(space), epoch_seq(space), seq)
