"""Who takes over a service has what its user has in Redis: its own keys and channels, no word about the server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from deploy.local.servers.redis import Redis as RedisServer
from deploy.logins.passwords import WITH_LOGIN, WITH_REDIS, with_login
from libs.common import cache
from libs.common.spaces import SpaceKey
from tests.support.servers import PASSWORDS

REFUSED = r"no permissions|can't run|can't access|not allowed"  # the last is of DEBUG, which nobody has here
SPACE = SpaceKey("post", "alice/my-360-photo")
ABOUT_THE_SERVER = (
    "FLUSHALL", "FLUSHDB", "CONFIG GET maxmemory", "CONFIG SET maxmemory 1", "KEYS *", "SCAN 0", "RANDOMKEY",
    "DBSIZE", "DEBUG SLEEP 0", "SHUTDOWN NOSAVE", "ACL LIST", "ACL SETUSER mine on nopass +@all ~*", "CLIENT LIST",
    "CLIENT KILL TYPE normal", "MONITOR", "INFO", "SAVE", "BGREWRITEAOF", "SLAVEOF 127.0.0.1 1", "REPLICAOF NO ONE",
    "SCRIPT FLUSH", "SCRIPT KILL", "FUNCTION FLUSH", "MODULE LIST", "SWAPDB 0 1", "MIGRATE 127.0.0.1 1 key 0 1",
    "PSUBSCRIBE *", "PUBSUB CHANNELS", "SLOWLOG GET", "LATENCY LATEST", "OBJECT ENCODING key", "DUMP key", "WAIT 0 0",
)  # fmt: skip
# Key → who may write it. Nobody else may, and who is no reader may not read it either.
WRITERS = {
    cache.members(SPACE): {"realtime"},
    cache.entities(SPACE, "main:account:alice"): {"realtime"},
    cache.entity_owners(SPACE): {"realtime"},
    cache.people(SPACE): {"realtime"},
    cache.dropped(SPACE): {"realtime"},
    cache.version(SPACE): {"realtime"},
    cache.epoch(SPACE): {"spaces_auth", "sync_worker", "realtime"},
    cache.address(SPACE, "guest:x"): {"spaces_auth"},
    cache.replica_spaces("r1-5f3a"): {"realtime"},
    cache.REPLICAS: {"realtime"},
    cache.denied("a-token"): {"spaces_auth"},
    cache.LOGOUTS: {"spaces_auth"},
    cache.JWKS: {"spaces_auth"},
    cache.challenge("a-nonce"): {"spaces_auth"},
    cache.authority("alice"): {"spaces_auth"},
    cache.GUEST_SALT: {"gateway"},
    cache.primary_notice("a-digest"): {"gateway"},
    cache.SYNC_STATUS: {"sync_worker"},
    cache.BACKUP_STATUS: {"backup"},
    "somebody:elses": set(),
}
READERS = {
    cache.members(SPACE): {"spaces_auth"},
    cache.denied("a-token"): {"gateway", "realtime"},
    cache.LOGOUTS: {"realtime"},
    cache.JWKS: {"gateway", "realtime"},
    cache.SYNC_STATUS: {"gateway"},
    cache.BACKUP_STATUS: {"gateway"},
}


async def run(client: Any, *command: str) -> Any:
    """`execute_command`, which has no types."""
    return await client.execute_command(*command)


async def allowed(admin: Redis, service: str, *command: str) -> bool:
    """Returns whether the user may run the command; it is not run."""
    return bool(await run(admin, "ACL", "DRYRUN", service, *command) == b"OK")


def write_to(key: str, service: str) -> tuple[str, ...]:
    """A command that writes the key, of those that the service has at all."""
    return ("HSET", key, "a", "b") if service == "realtime" else ("SET", key, "x")


@pytest.fixture
async def admin(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(params=WITH_REDIS)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_no_service_may_look_at_change_or_empty_the_server(redis_url: str, service: str) -> None:
    async with Redis.from_url(with_login(redis_url, service, PASSWORDS[service])) as client:
        assert await client.ping()
        for command in ABOUT_THE_SERVER:
            with pytest.raises(ResponseError, match=REFUSED):
                await run(client, *command.split())


async def test_a_key_is_written_by_who_owns_it_and_read_by_who_needs_it(admin: Redis, service: str) -> None:
    for key, writers in WRITERS.items():
        assert await allowed(admin, service, *write_to(key, service)) == (service in writers), (key, "written")
        reads = service in writers | READERS.get(key, set())
        command = "HGET" if service == "realtime" else "EXISTS" if service == "gateway" else "GET"
        assert await allowed(admin, service, command, key, *(["a"] if command == "HGET" else [])) == reads, (
            key,
            "read",
        )


async def test_a_script_may_do_no_more_than_its_user(redis_url: str) -> None:
    async with Redis.from_url(with_login(redis_url, "gateway", PASSWORDS["gateway"])) as client:
        for script in ("return redis.call('GET', 'auth:challenge:x')", "return redis.call('FLUSHALL')"):
            with pytest.raises(ResponseError, match=REFUSED):
                await client.eval(script, 0)


async def test_channels_between_replicas_are_realtimes_and_chat_may_only_speak_to_accounts(admin: Redis) -> None:
    for service in WITH_REDIS:
        inside = service == "realtime"
        assert await allowed(admin, service, "PUBLISH", cache.wire(SPACE), "x") == inside
        assert await allowed(admin, service, "SUBSCRIBE", cache.wire(SPACE)) == inside
        assert await allowed(admin, service, "PUBLISH", cache.ACCOUNTS, "x") == (inside or service == "chat")
        assert await allowed(admin, service, "SUBSCRIBE", cache.ACCOUNTS) == inside


async def test_who_is_nobody_in_particular_may_ping_and_no_more(redis_server: RedisServer) -> None:
    async with Redis(port=redis_server.port) as client:
        assert await client.ping()
        for command in ("SELECT 1", "GET a", "SET a b", "PUBLISH presence:accounts x", *ABOUT_THE_SERVER):
            with pytest.raises(ResponseError, match=REFUSED):
                await run(client, *command.split())


async def test_a_service_without_redis_has_no_user_there(admin: Redis) -> None:
    names = {name.decode() if isinstance(name, bytes) else name for name in await admin.acl_users()}
    assert names & set(WITH_LOGIN) == set(WITH_REDIS)
