"""The door of logins: a house behind one address gets in, a script at one address does not, nor does who guesses."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from deploy.local.keys import public_key, sign_text
from deploy.local.stack import Stack
from libs.common import cache
from libs.common.contracts import auth
from libs.common.edge.gatekeeper import FAILURES
from services.gateway.refusals import MOST_HELD
from tests.support.people import Rest
from tests.support.whole import one_more_gateway, one_more_replica
from tests.support.wire import WebSocket, decoded

HOUSE = [f"house-person-{number}" for number in range(25)]
CHALLENGES = 10_000


@pytest.fixture(scope="module")
async def gateway(stack: Stack) -> AsyncIterator[str]:
    """One with the limits as they are declared."""
    async with one_more_gateway(stack, "limited") as url:
        yield url


@pytest.fixture
async def door(gateway: str) -> AsyncIterator[Rest]:
    async with Rest(gateway) as client:
        yield client


@pytest.fixture
async def house(stack: Stack) -> list[str]:
    """Accounts whose posting keys spaces_auth has just looked up, since the stand-in Hive node has but four."""
    redis = Redis.from_url(stack.settings["PRESENCE_REDIS_URL"])
    for account in HOUSE:
        authority = {"threshold": 1, "keys": {public_key(account, "posting"): 1}}
        await redis.set(cache.authority(account), msgspec.json.encode(authority), ex=600)
    await redis.aclose()
    return HOUSE


async def login(door: Rest, account: str, address: str) -> tuple[int, str]:
    """The status of what ended it, and who it is that logged in."""
    forwarded = {"X-Forwarded-For": address}
    status, asked, _ = await door.ask("POST", "/api/auth/challenge", {"account": account}, **forwarded)
    if status != 200:
        return status, ""
    signed = {**asked, "account": account, "signature": sign_text(account, asked["challenge"])}
    status, tokens, _ = await door.ask("POST", "/api/auth/login", signed, **forwarded)
    return status, tokens.get("account", "")


async def test_a_house_behind_one_address_logs_in_within_a_minute(door: Rest, house: list[str]) -> None:
    assert [await login(door, account, "192.0.2.25") for account in house] == [(200, account) for account in house]


async def statuses(door: Rest, accounts: list[str], address: str, at_once: int = 32) -> Counter[int]:
    """What becomes of a challenge for each account, many at once."""
    free = asyncio.Semaphore(at_once)

    async def ask(account: str) -> int:
        async with free:
            path = "/api/auth/challenge"
            return (await door.ask("POST", path, {"account": account}, **{"X-Forwarded-For": address}))[0]

    return Counter(await asyncio.gather(*map(ask, accounts)))


async def test_ten_thousand_challenges_of_one_address_do_not_get_through(door: Rest) -> None:
    accounts = [f"stranger-{number}" for number in range(CHALLENGES)]
    many = 2 * MOST_HELD  # refusals of half of them are not held, once there is nothing but refusals
    answers = await statuses(door, accounts[:many], "192.0.2.26")
    answers += await statuses(door, accounts[many:], "192.0.2.26", many)
    assert answers[200] <= CHALLENGES / 20, "the limit of a minute or two: the window slides while they run"
    assert answers.keys() <= {200, 429, 503}
    assert answers[503] <= CHALLENGES / 100, "one process may be late with a few, while it has hundreds in hand"


async def test_one_account_is_asked_for_less_often_than_its_address_may_ask(door: Rest) -> None:
    assert auth.LOGINS.per_account
    answers = await statuses(door, ["alice"] * 50, "192.0.2.27")
    assert answers == {200: auth.LOGINS.per_account, 429: 50 - auth.LOGINS.per_account}
    assert (await login(door, "bob", "192.0.2.27"))[0] == 200, "others of the house"
    assert (await login(door, "alice", "192.0.2.28"))[0] == 200, "alice herself, from elsewhere"


async def test_wrong_tokens_of_one_address_are_limited_at_every_door_together(stack: Stack, gateway: str) -> None:
    """REST, a socket's CONNECT and `auth-refresh`; who has a good one is let in."""
    async with (
        one_more_replica(stack, "guessing", PRESENCE_RATE_LIMIT_FACTOR="1", PRESENCE_HANDSHAKE_SECONDS="0") as replica,
        Rest(gateway) as door,
        WebSocket(replica.url) as inside,
    ):

        async def connect_code() -> str:
            """Of the CONNECT_ERROR, or of the WebSocket's close: the token may be looked at another time."""
            async with WebSocket(replica.url) as another:
                await another.send('40{"token":"wrong"}')
                try:
                    return str(decoded(await another.next(), "44")["data"]["code"])
                except ConnectionError as closed:
                    return str(closed)

        await inside.connect()
        for number in range(FAILURES.calls - 2):
            assert (await door.ask("GET", "/api/auth/me", token=f"wrong{number}"))[0] == 401
        assert (await inside.ask('420["auth-refresh",{"token":"wrong"}]', "430"))["code"] == "unauthorized"
        assert await connect_code() == "unauthorized"
        assert await connect_code() == "1013", "try again later"
        assert (await inside.ask('421["auth-refresh",{"token":"wrong"}]', "431"))["code"] == "rate_limited"
        status, body, headers = await door.ask("GET", "/api/auth/me", token="wrong")
        assert (status, body["code"]) == (429, "rate_limited")
        assert int(headers["Retry-After"]) > 0
        assert (await door.get("/api/auth/me", await door.token("alice")))["account"] == "alice"
