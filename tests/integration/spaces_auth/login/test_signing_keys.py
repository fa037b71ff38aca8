"""The keys that sign: one for all processes, sealed, and published."""

import asyncio
from datetime import timedelta

import jwt
import msgspec
import pytest

from libs.common import cache
from libs.common.contracts import auth
from libs.common.contracts.auth import Empty
from libs.common.db.engine import Database
from libs.common.db.sealing import SealBroken, Sealer
from libs.common.identity import Identity
from libs.common.tokens import Verifier
from services.spaces_auth.login import key_publication
from services.spaces_auth.login.signing_keys import Lifetimes, SigningKeys
from tests.integration.common.world import owner_of
from tests.integration.spaces_auth.world import World, running
from tests.support.settings import SECRET_KEY
from tests.support.waiting import eventually

ISSUER = "http://localhost:8080"


async def test_processes_that_start_at_once_make_one_key(database_url: str) -> None:
    databases = [Database(database_url, "spaces_auth", 3) for _ in range(5)]
    processes = [SigningKeys(database, Sealer(SECRET_KEY), ISSUER) for database in databases]
    signers = await asyncio.gather(*(keys.signer() for keys in processes for _ in range(3)))
    assert len({signer.kid for signer in signers}) == 1
    async with owner_of(database_url) as owner:
        assert len(await owner.sql("SELECT 1 FROM signing_keys")) == 1
    for database in databases:
        await database.stop()


async def test_a_token_of_one_process_is_verified_by_anothers_jwks(database_url: str) -> None:
    one, two = Database(database_url, "spaces_auth", 2), Database(database_url, "spaces_auth", 2)
    signing, publishing = (SigningKeys(database, Sealer(SECRET_KEY), ISSUER) for database in (one, two))
    encoded, _ = (await signing.signer()).sign(Identity("account", "alice", "alice"), 60)

    keys = {key["kid"]: jwt.PyJWK(key) for key in await publishing.jwks()}

    async def key_of(kid: str) -> jwt.PyJWK:
        return keys[kid]

    assert (await Verifier(ISSUER, key_of).verify(encoded)).identity.account == "alice"
    await one.stop()
    await two.stop()


async def test_a_key_that_is_old_gets_a_successor_which_signs_once_everyone_knows_it(database_url: str) -> None:
    database = Database(database_url, "spaces_auth", 2)

    def process() -> SigningKeys:
        return SigningKeys(database, Sealer(SECRET_KEY), ISSUER, Lifetimes(timedelta(days=30), timedelta(days=1)))

    async def kids() -> list[str]:
        return [key["kid"] for key in await process().jwks()]

    first = (await process().signer()).kid
    async with owner_of(database_url) as owner:

        async def age(kid: str, span: str) -> None:
            statement = (
                "UPDATE signing_keys SET created_at = now() - cast(cast(:span AS text) AS interval) WHERE kid = :kid"
            )
            await owner.sql(statement, span=span, kid=kid)

        await age(first, "29 days")
        assert await kids() == [first]
        await age(first, "31 days")
        published = await asyncio.gather(*(kids() for _ in range(4)))
        second = published[0][0]
        assert published == [[second, first]] * 4, "one successor, whoever looks"
        assert (await process().signer()).kid == first, "not everyone has it yet"
        await age(second, "5 minutes")
        assert (await process().signer()).kid == second
        await age(second, "23 hours")
        assert await kids() == [second, first], "the last tokens of the first are still good"
        await age(second, "25 hours")
        assert await kids() == [second]
        assert (await process().signer()).kid == second
    await database.stop()


async def test_another_secret_key_cannot_open_signing_keys(database_url: str) -> None:
    database = Database(database_url, "spaces_auth", 2)
    await SigningKeys(database, Sealer(SECRET_KEY), ISSUER).signer()
    with pytest.raises(SealBroken, match="PRESENCE_SECRET_KEY"):
        await SigningKeys(database, Sealer("A" * 42 + "E="), ISSUER).signer()
    await database.stop()


async def test_the_public_keys_are_in_redis_as_they_are_answered_and_come_back_there(
    database_url: str, redis_url: str, hive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_publication, "AGAIN_SECONDS", 0.02)
    async with running(database_url, redis_url, hive_url) as world:
        answered = (await world.call(auth.jwks, Empty(), "anonymous")).keys

        async def published() -> bool:
            kept = await world.redis.redis.get(cache.JWKS)
            return bool(kept and msgspec.json.decode(kept) == answered)

        await eventually(published)
        await world.redis.redis.flushdb()
        await eventually(published)
        longest = world.settings.guest_token_seconds
        assert longest - 60 < await world.redis.redis.ttl(cache.JWKS) <= longest, "no token outlives them"


async def test_the_jwks_shows_public_halves_only(world: World) -> None:
    (key,) = (await world.call(auth.jwks, Empty(), "anonymous")).keys
    assert key.keys() == {"kty", "crv", "alg", "use", "kid", "x"}
    assert (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
    (row,) = await world.owner.sql("SELECT private_key_sealed FROM signing_keys")
    assert len(row.private_key_sealed) == 12 + 32 + 16, "sealed: nonce, key, tag"
