"""Who shows no token is told what others without one were told a moment ago; nobody else is, and nothing that ended."""

import asyncio
from typing import Any

import pytest

from libs.common import cache
from libs.common.bus.base import Caller, ForAll, told_to_all
from libs.common.cache import changes
from libs.common.clock import now
from libs.common.contracts import chat
from libs.common.contracts.chat import ListMessages, MessagePage
from libs.common.contracts.log import LoggedEvent
from libs.common.errors import BANNED, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.gateway.shared import kept
from tests.integration.gateway.conftest import Run
from tests.integration.gateway.world import World, is_error
from tests.support.waiting import eventually

HALL, OTHER = SpaceKey("post", "bob/hall"), SpaceKey("post", "bob/other")


def messages_of(space: SpaceKey) -> str:
    return f"/api/chat/{space.space_type}/{space.space_id}/messages"


MESSAGES = messages_of(HALL)
SOON = 15.0  # seconds in which a change is heard at the latest, on a machine that is busy


class Chat:
    """Chat as a test plays it: `answers` are counted, `held` holds them, `alike` says whether they are for all."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers = 0
        self.alike = True
        self.error: PresenceError | None = None
        self.held = asyncio.Event()
        self.held.set()
        world.bus.serve(chat.list_messages, self.list_messages)

    async def list_messages(self, caller: Caller, _: ListMessages) -> MessagePage | ForAll[MessagePage]:
        self.answers += 1
        page = MessagePage([], False, f"answer {self.answers}")
        await self.held.wait()
        if self.error:
            raise self.error
        return told_to_all(caller, page, alike=self.alike)

    async def read(self, space: SpaceKey = HALL, **options: Any) -> str:
        answer = await self.world.ask("GET", messages_of(space), **options)
        assert answer.status == 200
        return str(answer.body["next_cursor"])

    async def read_anew(self, before: str, space: SpaceKey = HALL) -> None:
        """Waits until what was told before is told no more."""

        async def is_new() -> bool:
            return await self.read(space) != before

        await eventually(is_new, SOON)


@pytest.fixture(autouse=True)
def _long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ends by its age: a slow machine would make it so."""
    monkeypatch.setattr(kept, "LONGEST", 600.0)


@pytest.fixture
async def talk(world: World) -> Chat:
    """Chat, once the gateway hears of changes and shares."""
    played = Chat(world)

    async def shares() -> bool:
        return await played.read(OTHER) == await played.read(OTHER)

    await eventually(shares)
    return played


async def test_who_shows_no_token_is_told_what_others_were(talk: Chat) -> None:
    first = await talk.read()
    assert {await talk.read() for _ in range(5)} == {first}
    health = (await talk.world.ask("GET", "/api/health")).body["cache"]
    assert health["hits"] >= 5
    assert health["hit_ratio"] == round(health["hits"] / (health["hits"] + health["misses"]), 4)


async def test_who_shows_a_token_is_told_what_is_theirs_and_nobody_else_is_told_it(talk: Chat) -> None:
    alice = talk.world.bearer("alice")
    told = [await talk.read(headers=alice), await talk.read(), await talk.read(headers=alice), await talk.read()]
    assert told[1] == told[3]
    assert len(set(told)) == 3


async def test_whoever_asks_at_the_same_time_waits_for_one_answer(talk: Chat) -> None:
    before = talk.answers
    talk.held.clear()
    asking = [asyncio.create_task(talk.read()) for _ in range(20)]
    await eventually(lambda: talk.answers > before)
    talk.held.set()
    assert len(set(await asyncio.gather(*asking))) == 1
    assert talk.answers == before + 1


async def test_what_a_service_does_not_say_is_for_all_is_for_its_caller(talk: Chat) -> None:
    talk.alike = False
    talk.held.clear()
    before = talk.answers
    asking = [asyncio.create_task(talk.read()) for _ in range(5)]
    await eventually(lambda: talk.answers > before)
    talk.held.set()
    told = [*await asyncio.gather(*asking), await talk.read(), await talk.read()]
    assert len(set(told)) == 7


async def test_one_callers_refusal_is_nobody_elses(talk: Chat) -> None:
    talk.error = PresenceError(BANNED)
    assert is_error(await talk.world.ask("GET", MESSAGES), 403, "banned")
    talk.error = None
    await talk.read()


async def test_a_ban_ends_what_was_told_of_its_space_and_of_no_other(talk: Chat) -> None:
    here, there = await talk.read(), await talk.read(OTHER)
    await cache.raise_epoch(talk.world.redis.redis, HALL)
    await talk.read_anew(here)
    assert await talk.read(OTHER) == there


async def test_what_is_asked_before_a_ban_and_answered_after_it_is_told_nobody_else(talk: Chat) -> None:
    before, there = talk.answers, await talk.read(OTHER)
    talk.held.clear()
    asking = asyncio.create_task(talk.read())
    await eventually(lambda: talk.answers > before)
    for space in (HALL, OTHER):
        await cache.raise_epoch(talk.world.redis.redis, space)
    talk.held.set()
    await talk.read_anew(there, OTHER)  # so the ban of the hall, which was told before, was heard
    assert await talk.read() != await asking


async def test_an_event_ends_what_it_may_change(talk: Chat) -> None:
    here, told = await talk.read(), changes.Changes(talk.world.redis)
    await told.start()
    try:
        told.tell([event("documents.comment_changed"), event("chat.message_posted")])
        await talk.read_anew(here)
    finally:
        await told.stop()


def event(name: str) -> LoggedEvent:
    return LoggedEvent(new_id(), name, HALL.space_type, HALL.space_id, None, 1, "account:bob", now(), {}, "request-1")


async def test_whoever_changed_something_here_is_not_told_what_was_before(talk: Chat) -> None:
    here, there = await talk.read(), await talk.read(OTHER)
    await talk.world.ask("POST", MESSAGES, {"content": "hello"})
    assert await talk.read() != here
    assert await talk.read(OTHER) == there
    await talk.world.ask("DELETE", f"/api/chat/messages/{new_id()}")
    assert await talk.read(OTHER) != there, "a message may be of any space"


async def test_what_may_have_been_missed_is_asked_again(talk: Chat) -> None:
    here = await talk.read()
    await talk.world.redis.redis.client_kill_filter(_type="pubsub")
    await talk.read_anew(here)


async def test_nothing_is_shared_while_changes_are_not_heard(run: Run) -> None:
    async with run("redis://127.0.0.1:1/0", rate_limit_factor=0.0) as world:
        played = Chat(world)
        assert len({await played.read() for _ in range(3)}) == 3


async def test_who_has_the_answer_already_is_told_so(talk: Chat) -> None:
    first = await talk.world.ask("GET", MESSAGES)
    assert (first.headers["Cache-Control"], first.headers["Vary"]) == ("no-cache", "Origin, Authorization")
    again = await talk.world.ask("GET", MESSAGES, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    await talk.world.ask("POST", MESSAGES, {"content": "hello"})
    assert (await talk.world.ask("GET", MESSAGES, headers={"If-None-Match": first.headers["ETag"]})).status == 200


async def test_what_is_for_its_caller_has_no_tag_and_is_kept_nowhere(talk: Chat) -> None:
    answer = await talk.world.ask("GET", MESSAGES, headers=talk.world.bearer("alice"))
    assert "ETag" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
