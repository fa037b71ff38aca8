"""Reactions: one emoji, one of each for a person, counted exactly."""

import asyncio

from libs.common.contracts import chat
from libs.common.contracts.chat import Unreact
from libs.common.identity import Identity
from tests.integration.chat.world import World
from tests.integration.common.world import guest
from tests.support.refusals import refusal


async def test_a_reaction_counts_once_for_a_person_and_emoji(world: World) -> None:
    message = await world.post()
    assert await world.react(message, "👍", "bob") == {"👍": {"count": 1, "by": ["bob"]}}
    assert await world.react(message, "👍", "bob") == {"👍": {"count": 1, "by": ["bob"]}}
    await world.react(message, "❤️", "bob")
    reactions = await world.react(message, "👍", guest("0192"))
    assert reactions == {"👍": {"count": 2, "by": ["bob", "Guest-0192"]}, "❤️": {"count": 1, "by": ["bob"]}}
    assert (await world.get(message)).reactions == reactions
    assert len(await world.logged()) == 4, "what changed nothing was no event"


async def test_a_reaction_taken_back_is_gone(world: World) -> None:
    message = await world.post()
    await world.react(message, "👍", "bob")
    await world.react(message, "👍", "dave")
    assert await world.react(message, "👍", "bob", remove=True) == {"👍": {"count": 1, "by": ["dave"]}}
    left = await world.call(chat.unreact, Unreact(message.id, "👍"), "dave")
    assert left.reactions == {}
    name, told = (await world.logged())[-1]
    assert (name, told["message_id"], told["reactions"], told["removed"]) == (
        "chat.reaction_changed", message.id, {}, True,
    )  # fmt: skip


async def test_a_hundred_people_at_once_are_counted_exactly_and_twenty_are_named(world: World) -> None:
    message = await world.post()
    people = [Identity("account", f"user{n}", f"user{n}") for n in range(100)]
    at_once = asyncio.Semaphore(40)  # they wait for one row: more would wait longer than a call may, on a busy machine

    async def react(who: Identity, *, remove: bool = False) -> None:
        async with at_once:
            await world.react(message, "🎉", who, remove=remove)

    await asyncio.gather(*(react(who) for who in people for _ in range(2)))
    told = (await world.get(message)).reactions["🎉"]
    assert (told["count"], len(told["by"])) == (100, 20)
    await asyncio.gather(*(react(who, remove=True) for who in people[:60]))
    told = (await world.get(message)).reactions["🎉"]
    assert (told["count"], len(told["by"])) == (40, 20)
    counts = [payload["reactions"].get("🎉", {"count": 0})["count"] for name, payload in (await world.logged())[1:]]
    assert counts == [*range(1, 101), *range(99, 39, -1)], "each event tells the count of its moment"


async def test_a_late_second_delivery_brings_nothing_back(world: World) -> None:
    message = await world.post()
    await world.react(message, "👍", "bob", client_message_id="r1")
    await world.react(message, "👍", "bob", remove=True, client_message_id="r2")
    assert await world.react(message, "👍", "bob", client_message_id="r1") == {}


async def test_a_text_that_is_not_one_emoji_is_refused(world: World) -> None:
    message = await world.post()
    for text in ("👍👍", "a", ":)", "👍a", "", " "):
        assert await refusal(world.react(message, text)) == "invalid_input", text


async def test_a_message_takes_so_many_different_emoji(world: World) -> None:
    message = await world.post()
    for number in range(50):
        await world.react(message, chr(0x1F400 + number))
    assert await refusal(world.react(message, "👍")) == "conflict"
    assert await refusal(world.react(message, chr(0x1F400), "bob")) == "ok"


async def test_the_muted_do_not_react_but_take_back(world: World) -> None:
    message = await world.post()
    assert await refusal(world.react(message, "👍", "muted")) == "muted"
    assert await refusal(world.react(message, "👍", "muted", remove=True)) == "ok"
    assert await refusal(world.react(message, "👍", "banned", remove=True)) == "banned"
