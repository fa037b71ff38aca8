"""Challenges that the client made itself: young, once, for a join; each refusal in its own words."""

import asyncio
import time
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from deploy.local.keys import private_key, sign
from libs.common.bus.memory import MemoryBus
from libs.common.contracts import auth, spaces
from libs.common.contracts.auth import ChallengeRequest, Login, Prove
from libs.common.contracts.spaces import Join
from libs.common.edge.commands import require_login
from libs.common.errors import UNAUTHORIZED, PresenceError
from services.gateway.app import build as build_gateway
from services.gateway.settings import Settings as GatewaySettings
from services.spaces_auth.login.wallet_challenges import (
    AHEAD_SECONDS,
    OLDEST_SECONDS,
    REMEMBERED_SECONDS,
    WalletChallenges,
)
from tests.integration.common.world import proxied
from tests.integration.spaces_auth.world import World, running
from tests.support.edge import HERE
from tests.support.refusals import refusal
from tests.support.settings import defaults
from tests.support.wallet import Wallet

MARGIN = 5  # seconds that a test may take


def made(age: float = 0, end: str = "abc123xyz") -> str:
    """A challenge that a wallet made so many seconds ago."""
    return f"dlux_vr_{round((time.time() - age) * 1000)}_{end}"


async def prove(world: World, challenge: str, account: str | None = "alice", signer: str = "", **more: Any) -> str:
    """The account that a signature of the text proves, or the words of the refusal."""
    signature = more.pop("signature", None) or sign(challenge, private_key(signer or account or "alice"))
    proof = Prove(challenge, signature, account, **{"joins": True, **more})
    try:
        token = (await world.call(auth.prove, proof, "anonymous")).token
    except PresenceError as error:
        return f"{error.kind.code}: {error.text}"
    return str((await world.gatekeeper().identify(token, HERE)).identity.account)


async def test_a_text_of_the_clients_own_opens_a_join_once(world: World) -> None:
    text = made()
    assert await prove(world, text) == "alice"
    assert "used before" in await prove(world, text)
    assert await prove(world, made(end="zzzzzzzz9")) == "alice", "another text is another challenge"


async def test_what_it_opens_is_one_admission(world: World) -> None:
    text = made()
    proof = Prove(text, sign(text, private_key("alice")), "alice", joins=True)
    prover = await world.gatekeeper().identify((await world.call(auth.prove, proof, "anonymous")).token, HERE)
    admitted = await world.call(spaces.join, Join("document", "123"), prover.identity)
    admission = await world.gatekeeper().identify(admitted.session_token, HERE)
    assert admission.identity.account == "alice"
    assert admission.admission
    assert str(admission.admission.space) == "document:123"
    require_login(admission, spaces.get_space)
    with pytest.raises(PresenceError, match="sign another challenge"):
        require_login(admission, spaces.join)


async def test_of_ten_joins_at_once_with_one_text_one_succeeds(world: World) -> None:
    text = made()
    outcomes = await asyncio.gather(*(prove(world, text) for _ in range(10)))
    assert outcomes.count("alice") == 1
    assert sum("used before" in outcome for outcome in outcomes) == 9


async def test_one_signature_serves_one_of_the_accounts_that_its_key_may_speak_for(world: World) -> None:
    """Erin's posting authority names alice."""
    text = made()
    assert await prove(world, text, "erin", "alice") == "erin"
    assert "used before" in await prove(world, text, "alice")
    text = made(end="000000000")
    assert await prove(world, text, "alice") == "alice"
    assert "used before" in await prove(world, text, "erin", "alice")


async def test_nobody_uses_up_anothers_challenge(world: World) -> None:
    text = made()
    assert "not signed with alice's posting key" in await prove(world, text, "alice", "bob")
    assert await prove(world, text, "bob") == "bob"
    assert await prove(world, text, "alice") == "alice"


@pytest.mark.parametrize("age", [OLDEST_SECONDS - MARGIN, 0, MARGIN - AHEAD_SECONDS])
async def test_a_clock_may_be_a_little_off(world: World, age: float) -> None:
    assert await prove(world, made(age)) == "alice"


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (OLDEST_SECONDS + 1, "older than 120 seconds"),
        (10 * 86_400, "older than 120 seconds"),
        (-AHEAD_SECONDS - MARGIN, "more than 30 seconds in the future"),
        (-86_400, "more than 30 seconds in the future"),
    ],
)
async def test_an_old_one_and_one_of_the_future_are_refused(world: World, age: float, words: str) -> None:
    assert words in await prove(world, made(age))


NOW = str(round(time.time() * 1000))
MALFORMED = [
    *(f"dlux_vr_{NOW}_abc123xy", f"dlux_vr_{NOW}_abc123xyz0", f"dlux_vr_{NOW}_ABC123XYZ", f"dlux_vr_{NOW}_abc 23xyz"),
    *(f"dlux_vr_{NOW}_abc123xyz\n", f"dlux_vr_{NOW}_abc123xy\u0663", f"dlux_vr_{NOW}abc123xyz", f"dlux_vr_{NOW}_"),
    *(f"dlux_vr_{NOW}_abc123xyz_alice", f"dlux_vr_{NOW[:-3]}_abc123xyz", f"dlux_vr_{NOW}000_abc123xyz"),
    *(f"dlux_vr_0{NOW[1:]}_abc123xyz", f"dlux_vr_-{NOW[1:]}_abc123xyz", f"dlux_vr_{NOW[:-1]}\u0661_abc123xyz"),
    *("dlux_vr_", "dlux_vr_now_abc123xyz", f"dlux_vr_{NOW}.5_abc123xyz", f"dlux_vr_{int(NOW):x}_abc123xyz"),
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
async def test_its_form_is_strict(world: World, text: str) -> None:
    assert "dlux_vr_<Unix time in ms>_<9 of a-z and 0-9>, and nothing more" in await prove(world, text)


@pytest.mark.parametrize("before", ["Dlux_vr_", " dlux_vr_", "x_"])
async def test_any_other_text_of_the_clients_own_is_none(world: World, before: str) -> None:
    assert "unknown, used or too old" in await prove(world, f"{before}{NOW}_abc123xyz")


async def test_it_opens_nothing_but_a_join(world: World) -> None:
    text = made()
    assert "opens a join, and nothing else" in await prove(world, text, joins=False)
    login = Login("alice", text, sign(text, private_key("alice")))
    with pytest.raises(PresenceError, match="opens a join, and no login") as refused:
        await world.call(auth.login, login, "anonymous")
    assert refused.value.kind is UNAUTHORIZED
    assert await prove(world, text) == "alice", "a refusal uses nothing up"


async def test_it_needs_an_account_that_there_is_and_its_posting_key(world: World) -> None:
    text = made()
    assert "names no account" in await prove(world, text, None)
    assert "no Hive account mallory" in await prove(world, text, "mallory")
    for role in ("memo", "owner", "active"):
        signature = sign(text, private_key("alice", role))
        assert "not signed with alice's posting key" in await prove(world, text, signature=signature)
    assert "130 hexadecimal digits" in await prove(world, text, signature="00" * 65)
    other = sign(made(end="111111111"), private_key("alice"))
    assert "not signed with alice's posting key" in await prove(world, text, signature=other)
    assert await prove(world, text) == "alice"


async def test_a_used_one_is_remembered_for_longer_than_it_is_young(world: World) -> None:
    await prove(world, made(-AHEAD_SECONDS + MARGIN))
    redis = world.redis.redis
    keys = await redis.keys("auth:wallet:*")
    assert len(keys) == 2, "the account, and the key that signed"
    for key in keys:
        assert OLDEST_SECONDS + AHEAD_SECONDS < await redis.ttl(key) <= REMEMBERED_SECONDS


async def test_it_is_refused_while_nobody_can_say_whether_it_was_used(
    database_url: str, redis_url: str, hive_url: str
) -> None:
    async with proxied(redis_url) as proxy, running(database_url, proxy.url, hive_url) as world:
        assert await prove(world, made()) == "alice"
        await proxy.close()
        assert (await prove(world, made(end="222222222"))).startswith("unavailable")
        challenges = WalletChallenges(world.redis.redis, taken=True)
        assert await refusal(challenges.use_up(made(), "alice", "STM1")) == "unavailable", "nor is it by itself"


async def test_where_they_are_switched_off_none_is_taken(database_url: str, redis_url: str, hive_url: str) -> None:
    async with running(database_url, redis_url, hive_url, wallet_challenges=False) as world:
        assert "switched off here" in await prove(world, made())
        made_here = (await world.call(auth.challenge, ChallengeRequest("alice"), "anonymous")).challenge
        assert await prove(world, made_here) == "alice", "ours are"


async def test_a_wallet_is_told_that_they_are_switched_off(
    database_url: str, redis_url: str, hive_url: str, wallet: Wallet
) -> None:
    async with running(database_url, redis_url, hive_url, wallet_challenges=False) as world:
        port = unused_port()
        gateway = build_gateway(
            defaults(GatewaySettings, redis_url=redis_url, http_port=port), MemoryBus(world.bus._broker)
        )
        await gateway.start()
        try:
            answer = await wallet.join(f"http://127.0.0.1:{port}", "alice", "global:lobby")
        finally:
            await gateway.stop()
        assert (answer["status"], answer["code"]) == (401, "unauthorized")
        assert "switched off here" in answer["error"]
