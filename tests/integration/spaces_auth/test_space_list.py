"""Finding spaces: each once, in order, and never one that is not for the caller."""

from typing import Any

import pytest

from libs.common import cache
from libs.common.contracts import spaces
from libs.common.contracts.spaces import GetSpace, ListSpaces, SpaceDetail, SpaceList
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.spaces import LOBBY, SpaceKey
from tests.integration.common.world import proxied
from tests.integration.spaces_auth.world import World, fill, running
from tests.support.refusals import refusal

PHOTO, HALL = SpaceKey("post", "alice/my-360-photo"), SpaceKey("post", "bob/sculpture-hall")
FOR_ALL = {"lobby", "alice/my-360-photo", "bob/sculpture-hall", "bob/untitled", "124"}


async def found(world: World, who: str = "guest", **search: Any) -> SpaceList:
    return await world.call(spaces.list_spaces, ListSpaces(**search), who)


def ids(page: SpaceList) -> list[str]:
    return [space.space_id for space in page.spaces]


async def all_pages(world: World, who: str = "guest", **search: Any) -> list[str]:
    """Every space by cursor."""
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(100):
        page = await found(world, who, cursor=cursor, **search)
        seen += ids(page)
        cursor = page.next_cursor
        if cursor is None:
            return seen
        assert page.spaces, "a page with a next one has something on it"
    raise AssertionError("paging has no end")


@pytest.mark.parametrize(
    ("who", "more"),
    [
        ("guest", set()), ("anonymous", set()), ("dave", set()), ("alice", {"123"}), ("bob", {"123"}),
        ("carol", {"carol/not-for-you", "carol/reported"}), ("mona", {"carol/not-for-you"}), ("rolf", {"123"}),
        ("olivia", {"123", "carol/not-for-you", "carol/reported"}),
    ],
)  # fmt: skip
async def test_a_list_holds_what_the_caller_may_see_and_no_more(world: World, who: str, more: set[str]) -> None:
    page = await found(world, who)
    assert set(ids(page)) == FOR_ALL | more
    assert page.total == len(FOR_ALL | more)
    for space in page.spaces:
        detail = await world.call(spaces.get_space, GetSpace(space.space_type, space.space_id), who)
        assert (detail.display_name, detail.type, detail.creator) == (space.display_name, space.type, space.creator)


@pytest.mark.parametrize(
    "q", ["garden", "Secret", "hidden", "flagged", "carol", "Private plans", "Deleted", "not-for-you"]
)
async def test_a_search_finds_nothing_of_what_is_hidden(world: World, q: str) -> None:
    page = await found(world, "dave", q=q)
    assert (page.spaces, page.total, page.next_cursor) == ([], 0, None)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 200])
@pytest.mark.parametrize("sort", ["active", "recent", "votes"])
async def test_pages_by_cursor_hold_every_space_once_the_lobby_first(world: World, limit: int, sort: str) -> None:
    seen = await all_pages(world, limit=limit, sort=sort)
    assert seen[0] == "lobby"
    assert sorted(seen) == sorted(FOR_ALL)
    assert seen == await all_pages(world, sort=sort), "in the same order whatever the size of the page"


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
async def test_pages_by_offset_hold_every_space_once(world: World, limit: int) -> None:
    seen: list[str] = []
    for offset in range(0, len(FOR_ALL), limit):
        page = await found(world, limit=limit, offset=offset)
        assert page.total == len(FOR_ALL)
        seen += ids(page)
    assert sorted(seen) == sorted(FOR_ALL)


@pytest.mark.parametrize("search", [{}, {"space_type": "post"}, {"type": "art"}, {"q": "sculpture"}], ids=str)
@pytest.mark.parametrize("sort", ["active", "recent", "votes"])
async def test_an_offset_skips_what_comes_before_whoever_asks(world: World, sort: str, search: dict[str, str]) -> None:
    await world.enter(SpaceKey("post", "bob/untitled"), "dave")
    for who in ("carol", "bob", "olivia", "anonymous"):
        whole = ids(await found(world, who, sort=sort, **search))
        for offset in range(len(whole) + 2):
            assert ids(await found(world, who, sort=sort, offset=offset, **search)) == whole[offset:]


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_pages_without_the_lobby_hold_every_space_once_too(world: World, limit: int) -> None:
    seen = await all_pages(world, limit=limit, space_type="post")
    assert sorted(seen) == sorted(FOR_ALL - {"lobby", "124"})


async def test_beyond_the_end_is_an_empty_page_that_still_knows_the_total(world: World) -> None:
    page = await found(world, offset=500)
    assert (page.spaces, page.total, page.next_cursor) == ([], len(FOR_ALL), None)


NUL = "WzAsMSwiXHUwMDAwIiwiYiJd"


@pytest.mark.parametrize("cursor", ["x", "WyJhIl0", "Wy01XQ", "é", "WzFlNDAwXQ", NUL])
async def test_a_cursor_that_is_not_ours_is_invalid_input(world: World, cursor: str) -> None:
    """Among them: ["a"], [-5], [1e400], and [0, 1, NUL, "b"], which PostgreSQL could not take."""
    assert await refusal(found(world, cursor=cursor)) == "invalid_input"


async def test_sorts(world: World) -> None:
    assert ids(await found(world, sort="votes")) == [
        "lobby", "bob/sculpture-hall", "bob/untitled", "alice/my-360-photo", "124",
    ]  # fmt: skip
    assert ids(await found(world, sort="recent")) == [
        "lobby", "alice/my-360-photo", "bob/sculpture-hall", "124", "bob/untitled",
    ]  # fmt: skip
    await world.enter(PHOTO, "dave", "carol")
    await world.enter(SpaceKey("document", "124"), "Gast")
    await world.enter(SpaceKey("document", "123"), "bob", "alice", "rolf")
    page = await found(world, sort="active")
    assert ids(page) == ["lobby", "alice/my-360-photo", "124", "bob/sculpture-hall", "bob/untitled"]
    photo = page.spaces[1]
    assert (photo.active_users, photo.capacity.used, photo.capacity.available) == (2, 2, 998)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"type": "360"}, {"alice/my-360-photo"}),
        ({"type": "art"}, {"bob/sculpture-hall", "bob/untitled"}),
        ({"type": "document"}, {"124"}),
        ({"type": "lobby"}, {"lobby"}),
        ({"type": "nothing"}, set()),
        ({"space_type": "document"}, {"124"}),
        ({"space_type": "global"}, {"lobby"}),
        ({"space_type": "post", "type": "360"}, {"alice/my-360-photo"}),
        ({"q": "360"}, {"alice/my-360-photo"}),
        ({"q": "BEACH"}, {"alice/my-360-photo"}),
        ({"q": "untitled"}, {"bob/untitled"}),
        ({"q": "bob"}, {"bob/sculpture-hall", "bob/untitled", "124"}),
        ({"q": "lobby"}, {"lobby"}),
        ({"q": "%"}, set()),
        ({"q": "sculp"}, set()),
        ({"q": "my 360"}, {"alice/my-360-photo"}),
        ({"q": "beach, photo!"}, {"alice/my-360-photo"}),
        ({"q": "beach hall"}, set()),
        ({"q": "100%"}, {"bob/sculpture-hall"}),
        ({"q": "cold_marble"}, {"bob/sculpture-hall"}),
        ({"q": "d_m"}, set()),
        ({"q": "_"}, set()),
        ({"q": "\\"}, set()),
        ({"q": "'; DROP TABLE posts; --"}, set()),
    ],
    ids=str,
)
async def test_filters(world: World, search: dict[str, str], expected: set[str]) -> None:
    page = await found(world, **search)
    assert set(ids(page)) == expected
    assert page.total == len(expected)


async def test_a_list_shows_a_spaces_own_settings(world: World) -> None:
    await world.owner.sql(
        "INSERT INTO presence_space_settings (space_type, space_id, max_users, settings)"
        " VALUES ('post', 'bob/sculpture-hall', 7, '{\"theme\": \"dark\"}'), ('global', 'lobby', 5, '{}')"
    )
    shown = {space.space_id: space for space in (await found(world)).spaces}
    assert (shown["bob/sculpture-hall"].capacity.total, shown["lobby"].capacity.total) == (7, 5)
    assert shown["bob/sculpture-hall"].settings["settings"] == {"theme": "dark"}
    assert shown["bob/untitled"].settings["max_users"] == 1000
    assert set(shown["bob/sculpture-hall"].settings) == set(shown["bob/untitled"].settings)


async def look(world: World, space: SpaceKey, who: str = "guest") -> SpaceDetail:
    return await world.call(spaces.get_space, GetSpace(space.space_type, space.space_id), who)


async def test_a_space_shows_who_is_in_it(world: World) -> None:
    await world.enter(PHOTO, "dave", "Gast", subspace="attic")
    detail = await look(world, PHOTO, "alice")
    assert {(u.user_account, u.display_name, u.guest, u.subspace) for u in detail.connected_users} == {
        ("dave", "dave", False, "attic"), (None, "Gast", True, "attic"),
    }  # fmt: skip
    assert (detail.your_role, detail.active_users, detail.max_users) == ("owner", 2, 1000)
    assert (detail.chat_enabled, detail.voice_enabled) == (True, True)
    assert (detail.display_name, detail.votes, detail.rating, detail.creator) == ("My 360 photo", 50, 4.5, "alice")


@pytest.mark.parametrize(
    ("space", "title"),
    [
        (LOBBY, "The lobby"), (SpaceKey("community", "hive-123456"), "Virtual Reality"),
        (SpaceKey("event", "party"), "party"), (SpaceKey("post", "bob/untitled"), "untitled"),
    ],
)  # fmt: skip
async def test_a_space_without_a_title_has_one_made_for_it(world: World, space: SpaceKey, title: str) -> None:
    assert (await look(world, space)).display_name == title


@pytest.mark.parametrize(
    "space",
    [
        SpaceKey("post", "carol/not-for-you"), SpaceKey("post", "carol/reported"), SpaceKey("document", "123"),
        SpaceKey("document", "125"), SpaceKey("post", "nobody/nothing"), SpaceKey("document", "999"),
    ],
    ids=str,
)  # fmt: skip
async def test_a_hidden_space_answers_exactly_as_one_that_does_not_exist(world: World, space: SpaceKey) -> None:
    for who in ("guest", "anonymous", "dave"):
        with pytest.raises(PresenceError) as raised:
            await look(world, space, who)
        assert (raised.value.kind, raised.value.text, raised.value.details) == (NOT_FOUND, NOT_FOUND.text, {})


async def test_spaces_are_still_listed_while_redis_is_away(database_url: str, redis_url: str, hive_url: str) -> None:
    async with proxied(redis_url) as proxy, running(database_url, proxy.url, hive_url) as world:
        await fill(world)
        await world.enter(PHOTO, "dave")
        await proxy.close()
        assert set(ids(await found(world))) == FOR_ALL
        assert await refusal(look(world, PHOTO)) == "unavailable"


async def test_a_space_in_redis_that_is_no_space_hurts_nobody(world: World) -> None:
    await world.redis.redis.zadd(cache.ACTIVE, {"nonsense": 5, str(HALL): 1})
    assert (await found(world, sort="active")).spaces[1].space_id == "bob/sculpture-hall"


@pytest.fixture
async def two_events(world: World) -> None:
    """Of all halls, `party` and `rave` are left; and the community `hive-1`."""
    await world.owner.sql("DELETE FROM scheduled_events WHERE id NOT IN ('party', 'rave')")
    await world.owner.sql("DELETE FROM communities WHERE name <> 'hive-1'")


@pytest.mark.usefixtures("two_events")
async def test_a_list_shows_an_events_own_settings(world: World) -> None:
    await world.owner.sql(
        "INSERT INTO presence_space_settings (space_type, space_id, max_users, guests_allowed)"
        " VALUES ('event', 'party', 7, false)"
    )
    await world.enter(SpaceKey("event", "rave"), "dave")
    shown = {space.space_id: space for space in (await found(world, include_events=True)).spaces}
    assert (shown["party"].capacity.total, shown["rave"].capacity.total) == (7, 1000)
    assert shown["party"].settings["guests_allowed"] is False
    assert set(shown["party"].settings) == set(shown["rave"].settings)


@pytest.mark.usefixtures("two_events")
async def test_events_and_communities_are_listed_for_those_who_ask(world: World) -> None:
    await world.enter(SpaceKey("event", "rave"), "dave", "carol")
    await world.enter(PHOTO, "dave")
    assert set(ids(await found(world))) == FOR_ALL
    page = await found(world, include_events=True)
    assert ids(page)[:5] == ["lobby", "rave", "alice/my-360-photo", "hive-1", "party"]
    assert page.total == len(FOR_ALL) + 3
    assert set(ids(await found(world, space_type="event"))) == {"rave", "party"}
    await world.owner.sql("UPDATE scheduled_events SET access = 'list', title = 'Secret' WHERE id = 'rave'")
    assert set(ids(await found(world, space_type="event"))) == {"party"}
    assert set(ids(await found(world, "olivia", space_type="event"))) == {"rave", "party"}
    await world.owner.sql("UPDATE scheduled_events SET access = 'open' WHERE id = 'rave'")
    for limit in (1, 2, 3, 4):
        assert sorted(await all_pages(world, include_events=True, limit=limit)) == sorted(ids(page))


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("sort", ["active", "recent", "votes"])
async def test_pages_hold_every_space_once_while_people_are_in_some(world: World, limit: int, sort: str) -> None:
    await world.enter(PHOTO, "dave", "carol")
    await world.enter(SpaceKey("document", "124"), "Gast")
    await world.enter(SpaceKey("document", "123"), "bob")
    await world.enter(SpaceKey("post", "carol/reported"), "carol")
    for who, more in (
        ("guest", set[str]()),
        ("bob", {"123"}),
        ("olivia", {"123", "carol/reported", "carol/not-for-you"}),
    ):
        seen = await all_pages(world, who, limit=limit, sort=sort)
        assert sorted(seen) == sorted(FOR_ALL | more)
        by_offset: list[str] = []
        for offset in range(0, len(seen), limit):
            by_offset += ids(await found(world, who, limit=limit, offset=offset, sort=sort))
        assert by_offset == seen


TITLES = ("Café «Орёл»", "秋の京都の庭", "เที่ยวกรุงเทพ", "my-garden.glb")
IN_TITLES = [
    ("cafe", 0), ("CAFÉ", 0), ("орёл", 0), ("ОРЕЛ", 0), ("京都", 1), ("庭", 1), ("กรุงเทพ", 2), ("garden.glb", 3),
    ("my-garden", 3), ('"орёл café"', None), ("garden -glb", None), ("都京", None), ("gard", None),
]  # fmt: skip


async def test_titles_are_found_in_their_script(world: World) -> None:
    for n, title in enumerate(TITLES):
        await world.owner.sql(
            """INSERT INTO collaboration_documents (space_id, title, creator, is_public, row_hash)
               VALUES (:id, :title, 'bob', true, 'x')""",
            id=f"9{n}",
            title=title,
        )
    for q, place in IN_TITLES:
        assert ids(await found(world, q=q)) == ([] if place is None else [f"9{place}"]), q
