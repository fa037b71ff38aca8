"""Reading messages: pages without gaps or repeats, and a snapshot of one moment."""

import asyncio

import pytest

from libs.common.ids import new_id
from tests.integration.chat.world import World
from tests.support.refusals import refusal


@pytest.fixture
def world(module_world: World) -> World:
    return module_world


async def contents(world: World, **request: object) -> list[str | None]:
    return [message.content for message in (await world.page(**request)).messages]  # type: ignore[arg-type]


async def written(world: World, count: int, **request: str) -> list[str]:
    """Ids of so many messages, in order."""
    return [(await world.post(str(n), **request)).id for n in range(count)]


async def test_the_newest_come_first_and_a_cursor_goes_back_in_time(world: World) -> None:
    await written(world, 7)
    pages: list[list[str | None]] = []
    cursor: str | None = None
    while True:
        page = await world.page(limit=3, cursor=cursor)
        pages.append([message.content for message in page.messages])
        assert page.has_more is (page.next_cursor is not None)
        cursor = page.next_cursor
        if cursor is None:
            break
        await world.post("written meanwhile")
    assert pages == [["4", "5", "6"], ["1", "2", "3"], ["0"]]


@pytest.mark.parametrize("limit", [1, 2, 7, 50])
async def test_after_goes_forward_without_gaps(world: World, limit: int) -> None:
    ids = await written(world, 7)
    seen, last = ["0"], ids[0]
    while True:
        page = await world.page(after=last, limit=limit)
        seen += [str(message.content) for message in page.messages]
        if not page.has_more:
            break
        assert page.next_cursor is not None, "a cursor goes on in the same direction"
        last = page.messages[-1].id
    assert seen == [str(n) for n in range(7)]


async def test_before_and_after_are_exclusive(world: World) -> None:
    ids = await written(world, 5)
    assert await contents(world, before=ids[2]) == ["0", "1"]
    assert await contents(world, before=ids[3], limit=2) == ["1", "2"]
    assert await contents(world, after=ids[3]) == ["4"]
    assert await contents(world, after=ids[4]) == []
    assert await contents(world, before=ids[0]) == []


async def test_before_and_after_together_are_a_stretch(world: World) -> None:
    ids = await written(world, 7)
    bounds = {"after": ids[1], "before": ids[5]}
    assert await contents(world, **bounds) == ["2", "3", "4"]
    first = await world.page(**bounds, limit=2)
    assert [message.content for message in first.messages] == ["2", "3"]
    assert await contents(world, **bounds, cursor=first.next_cursor) == ["4"]


async def test_a_message_of_another_space_or_of_none_is_no_place_to_go_on_from(world: World) -> None:
    (elsewhere,) = await written(world, 1, space_type="global", space_id="lobby")
    for place in ({"before": elsewhere}, {"after": elsewhere}, {"before": new_id()}):
        assert await refusal(world.page(**place)) == "not_found"


@pytest.mark.parametrize("cursor", ["x", "WyJhIl0", "Wy01XQ", "é", "WzFlNDAwXQ"])
async def test_a_cursor_that_is_not_ours_is_invalid_input(world: World, cursor: str) -> None:
    assert await refusal(world.page(cursor=cursor)) == "invalid_input"


async def test_subspaces_and_spaces_are_kept_apart(world: World) -> None:
    await world.post("main")
    await world.post("attic", subspace="attic")
    await world.post("lobby", space_type="global", space_id="lobby")
    assert await contents(world) == ["main"]
    assert await contents(world, subspace="attic") == ["attic"]
    assert await contents(world, space_type="global", space_id="lobby") == ["lobby"]
    assert await contents(world, space_type="community", space_id="hive-1") == []


async def test_a_deleted_message_is_a_tombstone(world: World) -> None:
    message = await world.post("regretted")
    await world.owner.sql("UPDATE chat_messages SET is_deleted = true")
    (found,) = (await world.page()).messages
    assert (found.id, found.content, found.is_deleted) == (message.id, None, True)


@pytest.mark.parametrize("who", ["guest", "muted", "dave"])
async def test_people_who_may_enter_may_read(world: World, who: str) -> None:
    message = await world.post()
    assert await contents(world, who=who) == [message.content]


async def test_people_who_may_not_enter_may_not_read(world: World) -> None:
    assert await refusal(world.page("banned")) == "banned"
    assert await refusal(world.page("dave", space_type="document", space_id="123")) == "not_found"


async def test_a_snapshot_holds_the_newest_messages_and_the_spaces_number(world: World) -> None:
    await written(world, 3)
    await world.post("attic", subspace="attic")
    snapshot = await world.snapshot(limit=2)
    assert (snapshot.seq, [message.content for message in snapshot.messages]) == (4, ["1", "2"])
    assert (await world.snapshot(limit=0)).messages == []
    empty = await world.snapshot(space_type="event", space_id="never")
    assert (empty.seq, empty.messages) == (0, [])


async def test_a_snapshot_is_of_one_moment_while_others_write(world: World) -> None:
    """Nothing newer than its `seq` is in it, and nothing up to it is missing."""
    writing = True

    async def write(writer: int) -> None:
        for n in range(12):
            await world.post(f"{writer}-{n}")

    async def watch() -> int:
        seen = 0
        while writing:
            snapshot = await world.snapshot(limit=200)
            assert [message.seq for message in snapshot.messages] == list(range(1, snapshot.seq + 1))
            seen += 1
        return seen

    watchers = [asyncio.create_task(watch()) for _ in range(2)]
    await asyncio.gather(*(write(writer) for writer in range(6)))
    writing = False
    assert min(await asyncio.gather(*watchers)) > 3
    assert (await world.snapshot()).seq == 72
