"""Nobody's questions take the connections that a login or a join needs."""

import asyncio
from typing import Any

import pytest

from libs.common.bus.base import Caller
from libs.common.contracts import analytics, spaces
from libs.common.contracts.analytics import AnalyticsQuery
from libs.common.contracts.registry import Operation
from libs.common.contracts.spaces import Join, ListSpaces
from libs.common.db.engine import COSTLY_WAITING
from libs.common.identity import Identity
from services.spaces_auth.analytics import analytics_repository
from services.spaces_auth.spaces import space_list_repository
from tests.integration.spaces_auth.world import World
from tests.support.held_reads import held_reads
from tests.support.refusals import refusal

MANY = 20
COSTLY = 2  # connections, the default of PRESENCE_DATABASE_COSTLY
READS = 5  # of PRESENCE_DATABASE_READS
OWNED = AnalyticsQuery("post", "alice/my-360-photo")


def operator(number: int) -> Caller:
    return Caller(Identity("account", f"someone{number}", "x", operator=True), "request", "203.0.113.9")


def guest(number: int) -> Caller:
    return Caller(Identity("guest", f"guest-{number}", "x"), "request", f"203.0.113.{number}")


def asked(world: World, operation: Operation[Any, Any], request: Any, who: list[Any]) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(refusal(world.call(operation, request, one))) for one in who]


async def enters(world: World) -> None:
    assert (await world.login("dave")).account == "dave"
    assert (await world.call(spaces.join, Join("post", "alice/my-360-photo"), "dave")).success


async def test_twenty_questions_to_analytics_keep_no_login_and_no_join_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held_reads(world.owner.database, monkeypatch, analytics_repository, "engagement") as so_many:
        held = asked(world, analytics.engagement, AnalyticsQuery(), [operator(number) for number in range(MANY)])
        await so_many(COSTLY)
        await enters(world)
    outcomes = await asyncio.gather(*held)
    assert outcomes.count("unavailable") >= MANY - COSTLY - COSTLY_WAITING
    assert set(outcomes) == {"ok", "unavailable"}


async def test_an_account_asks_analytics_one_question_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with held_reads(world.owner.database, monkeypatch, analytics_repository, "engagement") as so_many:
        (first,) = asked(world, analytics.engagement, OWNED, ["alice"])
        await so_many(1)
        for view in (analytics.engagement, analytics.popular, analytics.voice):
            assert await refusal(world.call(view, OWNED, "alice")) == "rate_limited"
        assert await refusal(world.call(analytics.popular, OWNED, "olivia")) == "ok"
    assert await first == "ok"
    assert await refusal(world.call(analytics.engagement, OWNED, "alice")) == "ok"


@pytest.mark.parametrize(("words", "connections"), [("photo", COSTLY), (None, READS)])
async def test_lists_and_searches_keep_no_login_and_no_join_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch, words: str | None, connections: int
) -> None:
    async with held_reads(world.owner.database, monkeypatch, space_list_repository, "total") as so_many:
        held = asked(world, spaces.list_spaces, ListSpaces(q=words), [guest(number) for number in range(MANY)])
        await so_many(connections)
        await enters(world)
    assert set(await asyncio.gather(*held)) <= {"ok", "unavailable"}


@pytest.mark.parametrize(("addresses", "at_once"), [((1, 1, 1, 1), 1), ((1, 2, 1, 2), COSTLY)])
async def test_searches_of_one_address_go_one_after_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch, addresses: tuple[int, ...], at_once: int
) -> None:
    inside, most, total = 0, 0, space_list_repository.total

    async def counted(*arguments: Any) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            await asyncio.sleep(0.05)  # so that those who may come meanwhile do
            return await total(*arguments)
        finally:
            inside -= 1

    monkeypatch.setattr(space_list_repository, "total", counted)
    asking = asked(world, spaces.list_spaces, ListSpaces(q="photo"), [guest(number) for number in addresses])
    assert await asyncio.gather(*asking) == ["ok"] * len(addresses)
    assert most == at_once
