"""The keys that an edge verifies tokens with: of spaces_auth, else as it left them in Redis, and never a wrong no."""

import asyncio
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common import cache
from libs.common.edge import verification_keys
from libs.common.errors import UNAUTHORIZED, UNAVAILABLE
from libs.common.tokens import Signer
from tests.integration.common.world import account, proxied
from tests.support.edge import SETTINGS, SIGNER, Edge, jwk, token
from tests.support.refusals import refusal
from tests.support.waiting import eventually


def another(kid: str) -> Signer:
    return Signer(SETTINGS.public_url, kid, Ed25519PrivateKey.generate())


def signed_by(signer: Signer) -> str:
    return signer.sign(account("alice"), 60)[0]


async def leave(edge: Edge, *signers: Signer) -> None:
    """As spaces_auth leaves its keys in Redis."""
    await edge.redis.redis.set(cache.JWKS, msgspec.json.encode([jwk(signer) for signer in signers]))


async def test_an_unknown_key_is_asked_for_once_in_a_pause(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    second = another("key-2")
    async with Edge(redis_url) as edge:
        for _ in range(2):
            await edge.identify(token()[0])
        assert edge.asked == 1, "a known key is not asked for again"
        edge.signers = [second, SIGNER]
        for _ in range(5):
            await edge.refuses(signed_by(another("forged")), UNAUTHORIZED)
        assert edge.asked == 1
        monkeypatch.setattr(verification_keys, "REFETCH_PAUSE", 0.0)
        for encoded in (signed_by(second), token()[0]):
            assert (await edge.identify(encoded)).identity.account == "alice"
        assert edge.asked == 2


async def test_keys_outlive_spaces_auth_in_redis(redis_url: str) -> None:
    async with Edge(redis_url, keys=False) as edge:
        await leave(edge, SIGNER)
        assert (await edge.identify(token()[0])).identity.account == "alice"


async def test_a_key_that_is_not_in_redis_may_be_a_new_one_while_spaces_auth_is_away(redis_url: str) -> None:
    async with Edge(redis_url, keys=False) as edge:
        await leave(edge, another("key-0"))
        await edge.refuses(token()[0], UNAVAILABLE)
        await leave(edge, SIGNER)
        assert (await edge.identify(token()[0])).identity.account == "alice"


async def test_spaces_auth_counts_and_not_what_stands_in_redis(redis_url: str) -> None:
    """Whoever writes there in its place makes no key, and no key of its own another, as long as it answers."""
    forged, ours = another("forged"), another(SIGNER.kid)
    async with Edge(redis_url) as edge:
        await leave(edge, forged, ours)
        for signer in (forged, ours):
            await edge.refuses(signed_by(signer), UNAUTHORIZED)
        assert (await edge.identify(token()[0])).identity.account == "alice"


async def test_a_key_that_spaces_auth_gave_stays_it_whatever_stands_in_redis_while_it_is_away(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification_keys, "REFETCH_PAUSE", 0.0)
    ours, second = another(SIGNER.kid), another("key-2")
    async with Edge(redis_url) as edge:
        await edge.identify(token()[0])
        await edge.server.stop()
        await leave(edge, ours, second)
        assert (await edge.identify(signed_by(second))).identity.account == "alice"
        await edge.refuses(signed_by(ours), UNAUTHORIZED)
        assert (await edge.identify(token()[0])).identity.account == "alice"
        await edge.server.start()


@pytest.mark.parametrize("left", [b"", b"nonsense", b"{}", b"[1]", b"[]", b'[{"kid": "key-1", "kty": "new"}]'], ids=str)
async def test_what_cannot_be_read_in_redis_is_as_good_as_nothing(redis_url: str, left: bytes) -> None:
    async with Edge(redis_url, keys=False) as edge:
        await edge.redis.redis.set(cache.JWKS, left)
        await edge.refuses(token()[0], UNAVAILABLE)
        assert not edge.gatekeeper.keys.ready


async def test_a_crowd_looks_for_an_unknown_key_together(redis_url: str) -> None:
    async with Edge(redis_url) as edge:
        found = await asyncio.gather(*(edge.identify(token()[0]) for _ in range(50)))
        assert len(found) == 50
        assert edge.asked == 1


async def test_an_edge_is_ready_once_it_has_keys_and_looks_for_them_by_itself(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification_keys, "FIRST_PAUSE", 0.02)
    async with Edge(redis_url, keys=False) as edge:
        keys = edge.gatekeeper.keys
        await keys.start()
        try:
            assert await refusal(edge.identify(token()[0])) == "unavailable"
            assert not keys.ready
            await leave(edge, SIGNER)
            await eventually(lambda: keys.ready)
        finally:
            await keys.stop()


async def test_a_retired_key_is_forgotten(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification_keys, "RELOAD_SECONDS", 0.02)
    async with Edge(redis_url) as edge:
        keys = edge.gatekeeper.keys
        await keys.start()
        try:
            await eventually(lambda: keys.ready)
            edge.signers = [another("key-2")]
            await eventually(lambda: _forgotten(edge))
        finally:
            await keys.stop()


async def _forgotten(edge: Edge) -> Any:
    return await refusal(edge.identify(token()[0])) == "unauthorized"


async def test_neither_spaces_auth_nor_redis_is_unavailable_and_both_are_found_again(redis_url: str) -> None:
    async with proxied(redis_url) as proxy, Edge(proxy.url, keys=False) as edge:
        await proxy.close()
        await edge.refuses(token()[0], UNAVAILABLE)
        await proxy.open()
        await leave(edge, SIGNER)
        assert (await edge.identify(token()[0])).identity.account == "alice"
