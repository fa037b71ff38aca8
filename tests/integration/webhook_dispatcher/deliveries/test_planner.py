"""Which events become deliveries, and that each does so once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.common.contracts import default_registry
from libs.common.db.engine import Database
from services.webhook_dispatcher.planner import Planner, webhook_id_of
from tests.integration.webhook_dispatcher.world import World, message_posted

URL = "https://myapp.example/webhook"


@pytest.fixture
async def planner(world: World) -> AsyncIterator[Planner]:
    database = Database(world.settings.database_url, "webhook_dispatcher", 5)
    yield Planner(database, default_registry(), lambda: None, world.clock)
    await database.stop()


@pytest.fixture
async def subscribed(world: World) -> str:
    """carol's subscription to the chat of alice's post. Nothing runs that could send."""
    async with world.dispatcher():
        return (await world.subscribe(URL)).subscription.id


async def planned(world: World) -> int:
    return int((await world.sql("SELECT count(*) FROM webhook_deliveries"))[0][0])


@pytest.mark.usefixtures("subscribed")
async def test_an_event_that_comes_twice_is_planned_once(world: World, planner: Planner) -> None:
    event = message_posted()
    await planner.plan([event])
    await planner.plan([event])
    await asyncio.gather(*(planner.plan([event]) for _ in range(5)))
    assert await planned(world) == 1


@pytest.mark.usefixtures("subscribed")
async def test_events_that_come_again_at_the_same_time_are_planned_once(world: World, planner: Planner) -> None:
    event = message_posted()
    await asyncio.gather(*(planner.plan([event]) for _ in range(5)))
    assert await planned(world) == 1


@pytest.mark.usefixtures("subscribed")
async def test_an_event_that_comes_again_is_not_for_those_who_subscribed_since(world: World, planner: Planner) -> None:
    event = message_posted()
    await planner.plan([event])
    async with world.dispatcher():
        await world.subscribe(URL, account="dave")
    await planner.plan([event])
    assert await planned(world) == 1


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize(
    "changes",
    [
        {"space_id": "bob/sculpture-hall"},
        {"space_type": "community"},
        {"name": "spaces.member_joined"},
        {"name": "of.a_newer_version"},
    ],
    ids=["another space", "another type", "an event not asked for", "an unknown event"],
)
async def test_an_event_that_nobody_subscribed_to_is_not_planned(
    world: World, planner: Planner, changes: dict[str, str]
) -> None:
    await planner.plan([message_posted(**changes)])
    assert await planned(world) == 0


async def test_a_disabled_subscription_gets_nothing(world: World, planner: Planner, subscribed: str) -> None:
    await world.sql("UPDATE webhook_subscriptions SET active = false WHERE id = :id", id=subscribed)
    await planner.plan([message_posted()])
    assert await planned(world) == 0


async def test_each_subscription_gets_a_webhook_id_of_its_own(world: World, planner: Planner) -> None:
    async with world.dispatcher():
        for url, account in ((URL, "carol"), (URL, "dave"), (f"{URL}/other", "carol")):
            await world.subscribe(url, account=account)
    event = message_posted()
    await planner.plan([event])
    ids = {row.webhook_id for row in await world.sql("SELECT webhook_id FROM webhook_deliveries")}
    assert len(ids) == 3
    assert all(webhook_id.startswith("msg_" + event.id.replace("-", "")) for webhook_id in ids)


def test_a_webhook_id_depends_on_event_subscription_and_name_alone() -> None:
    assert webhook_id_of("e-1", "s-1", "chat") == webhook_id_of("e-1", "s-1", "chat")
    assert len({webhook_id_of(e, s, n) for e in "12" for s in "12" for n in "12"}) == 8
