"""What gateways share of spaces_auth's answers: the same for all who show no token, and none outlives a change."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBus
from libs.common.contracts import content, moderation, spaces
from libs.common.contracts.content import GetContent
from libs.common.contracts.moderation import ImposeSanction
from libs.common.contracts.registry import Operation
from libs.common.contracts.spaces import GetSpace, ListSpaces, ListSubrooms
from libs.common.identity import guest_identity
from libs.common.ids import new_id
from services.gateway.app import build
from services.gateway.settings import Settings
from services.gateway.shared import kept
from tests.integration.common.world import caller
from tests.integration.spaces_auth.world import World
from tests.support.settings import defaults
from tests.support.waiting import eventually

WHERE: dict[str, Any] = {"space_type": "post", "space_id": "alice/my-360-photo"}
PATH = "/api/spaces/post/alice/my-360-photo"
ABOUT_A_SPACE: list[tuple[Operation[Any, Any], Any]] = [
    (spaces.get_space, GetSpace(**WHERE)),
    (spaces.list_subrooms, ListSubrooms(**WHERE)),
    (content.get_content, GetContent(**WHERE)),
]
EVERY = [*ABOUT_A_SPACE, (spaces.list_spaces, ListSpaces())]


def nobody(address: str = "203.0.113.9") -> Caller:
    return Caller(guest_identity(new_id()), "request-1", address)


async def is_for_all(world: World, operation: Operation[Any, Any], request: Any, who: Caller) -> bool:
    return (await world.bus.call_for_json(operation, request, who)).for_all


@pytest.mark.parametrize(("operation", "request_"), EVERY)
async def test_who_shows_no_token_is_told_what_all_are_and_nobody_else(
    world: World, operation: Operation[Any, Any], request_: Any
) -> None:
    assert await is_for_all(world, operation, request_, nobody())
    assert not await is_for_all(world, operation, request_, caller("dave"))
    first = await world.bus.call_for_json(operation, request_, nobody())
    assert first == await world.bus.call_for_json(operation, request_, nobody("198.51.100.7"))


@pytest.mark.parametrize("banned", [{"address": "198.51.100.7"}, {"guest_id": new_id(), "with_address": True}])
async def test_where_an_address_is_banned_not_all_are_told_the_same(world: World, banned: dict[str, Any]) -> None:
    if "guest_id" in banned:
        guest = guest_identity(banned["guest_id"], "Loud", "t")
        await world.call(spaces.join, spaces.Join(**WHERE), Caller(guest, "request-1", "198.51.100.7"))
    await world.call(moderation.ban, ImposeSanction(**WHERE, reason="rude", **banned), "alice")
    for operation, request in ABOUT_A_SPACE:
        assert not await is_for_all(world, operation, request, nobody()), operation.name


@contextlib.asynccontextmanager
async def gateway(world: World) -> AsyncIterator[str]:
    settings = defaults(
        Settings,
        redis_url=world.settings.redis_url, http_port=unused_port(), rate_limit_factor=0.0, ipfs_gateway="",
    )  # fmt: skip
    service = build(settings, MemoryBus(world.bus._broker))
    await service.start()
    try:
        yield f"http://127.0.0.1:{settings.http_port}"
    finally:
        await service.stop()


@pytest.fixture
async def gateways(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, str]]:
    """Two, whose answers end by what they hear and never by their age."""
    monkeypatch.setattr(kept, "LONGEST", 600.0)
    async with gateway(world) as one, gateway(world) as other:
        yield one, other


async def get(http: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with http.get(url) as answer:
        return answer.status, await answer.json()


async def shares(http: aiohttp.ClientSession, base: str) -> None:
    """Waits until a gateway hears of changes and gives kept answers."""

    async def hits() -> bool:
        await get(http, base + PATH)
        return bool((await get(http, base + "/api/health"))[1]["cache"]["hits"])

    await eventually(hits)


async def listed(http: aiohttp.ClientSession, base: str) -> int:
    """Returns `max_users` of the space as the list has it."""
    found = (await get(http, base + "/api/spaces"))[1]["spaces"]
    return next(int(space["settings"]["max_users"]) for space in found if space["space_id"] == WHERE["space_id"])


async def test_what_is_changed_through_one_gateway_is_seen_through_the_other(
    world: World, gateways: tuple[str, str]
) -> None:
    one, other = gateways
    alice = {"Authorization": f"Bearer {(await world.login()).token}"}
    async with aiohttp.ClientSession() as http:
        for base in gateways:
            await shares(http, base)
            assert (await get(http, base + PATH))[1]["max_users"] == 1000
            assert await listed(http, base) == 1000
        async with http.patch(one + PATH + "/settings", json={"max_users": 7}, headers=alice) as answer:
            assert answer.status == 200

        async def is_new() -> bool:
            detail = (await get(http, other + PATH))[1]
            return bool(detail["max_users"] == await listed(http, other) == 7)

        await eventually(is_new)
        assert (await get(http, one + PATH))[1]["max_users"] == 7


async def test_a_ban_holds_at_every_gateway(world: World, gateways: tuple[str, str]) -> None:
    one, other = gateways
    alice = {"Authorization": f"Bearer {(await world.login()).token}"}
    async with aiohttp.ClientSession() as http:
        for base in gateways:
            await shares(http, base)
        ban = {"address": "127.0.0.1", "reason": "rude"}
        async with http.post(one + PATH + "/bans", json=ban, headers=alice) as answer:
            assert answer.status < 300, await answer.text()
        assert (await get(http, one + PATH))[0] == 403

        async def is_shut() -> bool:
            return (await get(http, other + PATH))[0] == 403

        await eventually(is_shut)
