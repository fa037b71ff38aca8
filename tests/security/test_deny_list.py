"""The deny list fails closed: only a Redis that is away lets a token pass for now; any other error refuses it."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from deploy.logins.passwords import with_login
from libs.common import cache
from libs.common.errors import UNAVAILABLE
from tests.support.edge import Edge, token


@pytest.fixture
async def redis_that_refuses(redis_url: str) -> AsyncIterator[str]:
    """The URL of a real Redis that answers every look at the deny list with an error."""
    name = f"no-exists-{urlsplit(redis_url).path[1:]}"
    redis = Redis.from_url(redis_url)
    await redis.acl_setuser(name, enabled=True, nopass=True, keys=["*"], commands=["+@all", "-exists"])
    yield with_login(redis_url, name, "any")
    await redis.acl_deluser(name)
    await redis.aclose()


async def test_a_deny_list_that_answers_with_an_error_lets_no_token_pass(redis_that_refuses: str) -> None:
    encoded, _ = token()
    async with Edge(redis_that_refuses) as edge:
        await edge.refuses(encoded, UNAVAILABLE)


async def test_a_redis_that_refuses_our_password_lets_no_token_pass(redis_url: str) -> None:
    encoded, _ = token()
    async with Edge(with_login(redis_url, "nobody", "wrong")) as edge:
        await edge.refuses(encoded, UNAVAILABLE)


async def test_a_pool_that_a_flood_has_emptied_lets_no_token_pass(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(cache, "TIMEOUT", 0.2)
    encoded, _ = token()
    async with Edge(redis_url) as edge:
        pool: Any = edge.redis.redis.connection_pool
        taken = await pool.get_connection()
        await edge.refuses(encoded, UNAVAILABLE)
        await pool.release(taken)
        assert (await edge.identify(encoded)).checked


async def test_every_name_of_a_token_is_looked_up_by_a_question_of_its_own(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in no transaction, so that a Redis Cluster, where they lie on different nodes, can answer."""
    encoded, identity = token(login_id="login-1")
    keys: list[tuple[str, ...]] = []
    real = Pipeline.execute

    async def execute(pipe: Any, *arguments: Any, **options: Any) -> Any:
        assert not pipe.is_transaction
        keys.extend(words[1:] for words, _ in pipe.command_stack if words[0] == "EXISTS")
        return await real(pipe, *arguments, **options)

    monkeypatch.setattr(Pipeline, "execute", execute)
    async with Edge(redis_url) as edge:
        await edge.identify(encoded)
    assert sorted(keys) == sorted((key,) for key in cache.denials(identity))
