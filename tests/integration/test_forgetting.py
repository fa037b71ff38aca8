"""After a month of chat is archived, nothing that was said in it is left but in the archive."""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.common.bus.memory import MemoryBus
from libs.common.clock import now
from libs.common.contracts import chat, webhooks
from libs.common.contracts.chat import EditMessage
from libs.common.contracts.log import EventsSince
from libs.common.contracts.webhooks import Subscribe
from libs.common.db.engine import Database
from libs.common.identity import service_identity
from services.chat.retention import months_repository as months
from services.chat.retention import retention
from services.chat.retention.retention import Retention
from services.spaces_auth.spaces.history import HistoryHandlers
from services.webhook_dispatcher import delivery
from services.webhook_dispatcher.app import build
from tests.integration.chat import world as chat_world
from tests.integration.common.world import caller
from tests.integration.webhook_dispatcher.world import Clock, settings_for
from tests.support.aging import age_chat, age_log, month_ends, shift
from tests.support.waiting import eventually
from tests.support.webhook_sink import WebhookSink

SAID = "strawberry-marmalade"  # in everything that is said, and in nothing else
OLD = 200  # days
OVER = timedelta(days=90, hours=1)  # after the month
TEXTS = """
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND has_table_privilege(c.oid, 'SELECT')
"""


@dataclass
class World:
    """Chat and the dispatcher on one database, an endpoint that takes nothing yet, and one that takes all."""

    chat: chat_world.World
    database_url: str
    clock: Clock
    deaf: WebhookSink
    keen: WebhookSink

    async def is_said_in(self, text: str = SAID) -> set[str]:
        """Returns the tables with the text in any column of any row, also as bytes."""
        found = set()
        for (table,) in await self.chat.owner.sql(TEXTS):
            rows = f"SELECT 1 FROM {table} t WHERE strpos(t::text, :text) > 0 OR strpos(t::text, :bytes) > 0 LIMIT 1"
            if await self.chat.owner.sql(rows, text=text, bytes=text.encode().hex()):
                found.add(table)
        return found

    async def archive(self, folder: Path) -> None:
        """Archives and drops the month that lies `OLD` days back, once its time is over."""
        moment = month_ends(now() - timedelta(days=OLD)) + OVER
        async with connected(self.database_url, "chat") as database:
            await Retention(database, str(folder), lambda: moment).look_back()

    async def is_sent(self, after_seq: int) -> list[dict[str, Any]]:
        """Returns the payloads that realtime gets for who comes back with that number."""
        async with connected(self.database_url, "spaces_auth") as database:
            asked = EventsSince("post", "bob/hall", after_seq)
            found = await HistoryHandlers(database).events_since(caller(service_identity("realtime")), asked)
        return [event.payload for event in found.events]


@contextlib.asynccontextmanager
async def connected(url: str, service: str) -> AsyncIterator[Database]:
    database = Database(url, service, 2)
    try:
        yield database
    finally:
        await database.stop()


@pytest.fixture
async def world(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(delivery, "POLL_SECONDS", 0.02)
    clock = Clock()
    async with (
        chat_world.running(database_url, redis_url) as saying,
        WebhookSink() as deaf,
        WebhookSink() as keen,
    ):
        deaf.answer(500)
        service = build(settings_for(database_url), MemoryBus(saying.bus._broker), clock=clock)
        await service.start()
        for sink in (deaf, keen):
            wanted = Subscribe("post", "bob/hall", sink.url, ["chat", "reaction", "moderation"])
            await saying.call(webhooks.subscribe, wanted, "bob")
        yield World(saying, database_url, clock, deaf, keen)
        await service.stop()


async def say(world: World) -> None:
    """Says the words in every way there is."""
    first = await world.chat.post(f"{SAID} @bob", "alice")
    await world.chat.edit(first, f"{SAID} @bob @carol once more")
    await world.chat.post(f"{SAID}!", "bob", parent_message_id=first.id)
    await world.chat.react(first, "👍", "bob")
    removed = await world.chat.post(f"{SAID} to be removed", "alice")
    await world.chat.delete(removed, "mona", reason="rude")
    await world.chat.delete(await world.chat.post(f"{SAID} taken back"), "alice")
    await world.deaf.wait_for(4)
    await world.keen.wait_for(4)

    async def is_logged() -> bool:
        return not await world.chat.owner.sql("SELECT 1 FROM event_log WHERE published_at IS NULL")

    await eventually(is_logged)


async def test_after_a_month_is_archived_its_words_are_in_no_table_and_no_event(world: World, tmp_path: Path) -> None:
    await say(world)
    assert await world.is_said_in() >= {"chat_messages", "chat_message_edits", "event_log", "webhook_deliveries"}
    await age_log(world.chat.owner, OLD)
    await age_chat(world.chat.owner, OLD)
    await world.archive(tmp_path)
    assert await world.is_said_in() == set()
    assert SAID not in msgspec.json.encode(await world.is_sent(0)).decode()
    assert all(name.startswith("chat-") for name in os.listdir(tmp_path)), "the archive alone has them, by design"


async def test_words_of_an_edit_long_after_go_with_the_month_of_their_message(world: World, tmp_path: Path) -> None:
    await say(world)
    await age_chat(world.chat.owner, OLD)
    await age_log(world.chat.owner, OLD)
    (row,) = await world.chat.owner.sql("SELECT id::text FROM chat_messages WHERE is_edited")
    await world.chat.call(chat.edit_message, EditMessage(row.id, f"{SAID} today"))
    before = len(await world.is_sent(0))
    await world.archive(tmp_path)
    assert await world.is_said_in() == set()
    assert len(await world.is_sent(0)) == before, "that something was said is not forgotten"


async def test_a_webhook_that_waits_is_sent_without_the_words(world: World, tmp_path: Path) -> None:
    await say(world)
    sent = len(world.deaf.received)
    await age_log(world.chat.owner, OLD)
    await age_chat(world.chat.owner, OLD)
    await world.archive(tmp_path)
    world.deaf.answer(200)
    world.clock.advance(hours=27)
    await world.deaf.wait_for(sent + 4)
    assert all(SAID.encode() not in request.body for request in world.deaf.received[sent:])
    assert await world.is_said_in() == set()


async def test_a_webhook_whose_event_the_log_has_dropped_forgets_its_words_too(world: World, tmp_path: Path) -> None:
    await say(world)
    await age_log(world.chat.owner, OLD)
    await age_chat(world.chat.owner, OLD)
    await world.chat.owner.sql("DELETE FROM event_log")
    await world.archive(tmp_path)
    assert await world.is_said_in() == set()


async def test_a_webhook_of_an_event_that_was_logged_in_the_next_month_forgets_its_words_too(
    world: World, tmp_path: Path
) -> None:
    """As at the very end of a month: the message has its id before the event."""
    await say(world)
    await age_log(world.chat.owner, OLD)
    await age_chat(world.chat.owner, OLD)
    for table, id in (("event_log", "id"), ("webhook_deliveries", "event_id")):
        await world.chat.owner.sql(
            "SELECT log_partitions.make_month(:month)", month=(now() - timedelta(days=160)).date()
        )
        await shift(world.chat.owner, -40, table, ids=[id])
    await world.archive(tmp_path)
    assert await world.is_said_in() == set()


async def test_what_was_said_in_another_month_and_on_documents_stays(world: World, tmp_path: Path) -> None:
    await say(world)
    await world.chat.comment("documents-keep-it")
    await age_log(world.chat.owner, OLD)
    await age_chat(world.chat.owner, OLD)
    await world.chat.post("this-month-keeps-it")
    await world.archive(tmp_path)
    assert await world.is_said_in("documents-keep-it") == {"document_comments", "event_log"}
    assert await world.is_said_in("this-month-keeps-it") >= {"chat_messages", "event_log", "webhook_deliveries"}


async def test_the_words_go_in_the_transaction_that_drops_the_month(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dropping fails at its very end: nothing is gone, and the next round does it all."""
    await say(world)
    await age_log(world.chat.owner, OLD)
    await age_chat(world.chat.owner, OLD)
    said = await world.is_said_in()
    with monkeypatch.context() as broken:
        broken.setattr(months, "drop", fail)
        with pytest.raises(ZeroDivisionError):
            await world.archive(tmp_path)
    assert await world.is_said_in() >= said - {"chat_messages", "chat_message_edits"}, "those are detached"
    await world.archive(tmp_path)
    assert await world.is_said_in() == set()


async def test_words_of_a_month_with_more_events_than_a_batch_go_all_the_same(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    await say(world)
    await age_log(world.chat.owner, OLD)
    await age_chat(world.chat.owner, OLD)
    await world.archive(tmp_path)
    assert await world.is_said_in() == set()


async def fail(_: Any, month: date) -> None:
    """Fails for the month with the words; the one before it is empty, and goes."""
    if month == (now() - timedelta(days=OLD)).date().replace(day=1):
        raise ZeroDivisionError
