"""Whoever reads or searches keeps nobody waiting who writes, whatever the database makes of their questions."""

import asyncio
from typing import Any

import pytest

from libs.common.bus.base import Caller
from libs.common.contracts import chat, documents
from libs.common.contracts.chat import ListMessages, React
from libs.common.contracts.documents import ListComments, PostComment
from libs.common.db.engine import COSTLY_WAITING
from libs.common.identity import Identity
from services.chat.comments import comments_repository
from services.chat.messages import message_pages_repository as pages
from tests.integration.chat.world import HALL, World
from tests.support.held_reads import held_reads
from tests.support.refusals import refusal

SEARCHERS = 24
SEARCHES = 2  # connections, the default of PRESENCE_DATABASE_COSTLY
READS = 5  # of PRESENCE_DATABASE_READS


def guest(number: int) -> Caller:
    return Caller(Identity("guest", f"guest-{number}", "x"), "request", f"203.0.113.{number}")


def asked(world: World, times: int, **request: Any) -> list[asyncio.Task[str]]:
    """Asks as so many guests, each of an address of their own."""
    question = ListMessages(**HALL, **request)
    guests = [guest(number) for number in range(times)]
    return [asyncio.create_task(refusal(world.call(chat.list_messages, question, one))) for one in guests]


async def test_searches_of_one_address_go_one_after_the_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask there, the others' searches find a connection."""
    question = ListMessages(**HALL, q="word")
    async with held_reads(world.owner.database, monkeypatch, pages, "read") as so_many:
        crowd = [asyncio.create_task(refusal(world.call(chat.list_messages, question, guest(1)))) for _ in range(5)]
        await so_many(1)
        other = asyncio.create_task(refusal(world.call(chat.list_messages, question, guest(2))))
        await so_many(2)
    assert [*await asyncio.gather(*crowd), await other] == ["ok"] * 6


async def test_searches_hold_their_own_connections_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await world.post("before")
    async with held_reads(world.owner.database, monkeypatch, pages, "read") as so_many:
        searches = asked(world, SEARCHERS, q="-word")
        await so_many(SEARCHES)
        assert (await world.post("meanwhile")).content == "meanwhile"
        assert (await world.get(said)).content == "before"
    outcomes = await asyncio.gather(*searches)
    assert outcomes.count("unavailable") >= SEARCHERS - SEARCHES - COSTLY_WAITING
    assert set(outcomes) == {"ok", "unavailable"}


async def test_reads_hold_their_own_connections_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await world.post("before", client_message_id="once")
    first = await world.comment("why?", client_message_id="one")
    reaction = React(said.id, "🎉", client_message_id="thrice")
    async with (
        held_reads(world.owner.database, monkeypatch, pages, "read") as so_many,
    ):
        reads = asked(world, SEARCHERS)
        await so_many(READS)
        assert (await world.edit(said, "after", client_message_id="twice")).content == "after"
        for _ in range(2):  # also what was carried out before, and is only read again
            assert (await world.post("before", client_message_id="once")).id == said.id
            assert (await world.edit(said, "after", client_message_id="twice")).content == "after"
            assert (await world.call(chat.react, reaction)).reactions["🎉"]["count"] == 1
            again = PostComment("123", "why?", client_message_id="one")
            assert (await world.call(documents.post_comment, again)).comment.id == first.id
        assert (await world.on_comment(documents.resolve_comment, first)).resolved
        assert (await world.read(said)).last_read_message_id == said.id
    assert set(await asyncio.gather(*reads)) <= {"ok", "unavailable"}


async def test_reads_of_comments_hold_up_no_comment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with held_reads(world.owner.database, monkeypatch, comments_repository, "page") as so_many:
        question = ListComments("123")
        reads = [asyncio.create_task(refusal(world.call(documents.list_comments, question))) for _ in range(SEARCHERS)]
        await so_many(READS)
        assert (await world.comment("meanwhile")).content == "meanwhile"
    assert set(await asyncio.gather(*reads)) <= {"ok", "unavailable"}
