"""One chat on a real database, asked over the memory bus."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from libs.common.bus.base import Caller
from libs.common.contracts import chat
from libs.common.contracts.chat import GetSnapshot, ListMessages, Message, MessagePage, PostMessage, Snapshot
from libs.common.contracts.log import LoggedEvent
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from services.chat.app import build
from services.chat.settings import Settings
from tests.integration.common.world import Owner, RecordingBus, caller, defaults
from tests.support.waiting import eventually

CONTENT = """
INSERT INTO posts (author, permlink, type, row_hash, hidden) VALUES
  ('bob', 'hall', 'art', 'x', false), ('bob', 'hidden', 'art', 'x', true);
INSERT INTO collaboration_documents (space_id, creator, is_public, row_hash) VALUES ('123', 'bob', false, 'x');
INSERT INTO collaboration_permissions (space_id, account, permission, row_hash) VALUES ('123', 'alice', 'comment', 'x');
INSERT INTO presence_permissions (space_type, space_id, account, permission, row_hash) VALUES
  ('event', 'silent', 'mona', 'moderate', 'x');
INSERT INTO presence_space_settings (space_type, space_id, chat_enabled) VALUES ('event', 'silent', false);
INSERT INTO space_sanctions (id, space_type, space_id, kind, subject_kind, subject, reason, imposed_by) VALUES
  (gen_random_uuid(), 'post', 'bob/hall', 'mute', 'account', 'muted', 'why', 'bob'),
  (gen_random_uuid(), 'post', 'bob/hall', 'ban', 'account', 'banned', 'why', 'bob')
"""
_numbers = itertools.count(1)
HALL = {"space_type": "post", "space_id": "bob/hall"}


@dataclass
class World:
    bus: RecordingBus
    owner: Owner

    async def post(self, content: str = "", who: str | Identity | Caller = "alice", **request: Any) -> Message:
        """Without `content`, one that nobody has written yet."""
        asked = PostMessage(**{**HALL, "content": content or f"hello {next(_numbers)}", **request})
        by = who if isinstance(who, Caller) else caller(who)
        return (await self.bus.call(chat.post_message, asked, by)).message

    async def page(self, who: str = "alice", **request: Any) -> MessagePage:
        return await self.bus.call(chat.list_messages, ListMessages(**{**HALL, **request}), caller(who))

    async def snapshot(self, who: str = "alice", **request: Any) -> Snapshot:
        return await self.bus.call(chat.snapshot, GetSnapshot(**{**HALL, **request}), caller(who))

    async def published(self, count: int) -> list[LoggedEvent]:
        await eventually(lambda: len(self.bus.published) >= count)
        return self.bus.published

    async def log(self) -> Any:
        return await self.owner.sql("SELECT * FROM event_log ORDER BY space_type, space_id, seq")


async def refusal(asking: Any) -> str:
    """The code of the error that a call ends with."""
    try:
        await asking
    except PresenceError as error:
        return error.kind.code
    return "ok"


@contextlib.asynccontextmanager
async def running(database_url: str) -> AsyncIterator[World]:
    bus, owner = RecordingBus(), Owner(database_url)
    for statement in CONTENT.split(";"):
        await owner.sql(statement)
    service = build(defaults(Settings, database_url=database_url, operators=("olivia",)), bus)
    await service.start()
    try:
        yield World(bus, owner)
    finally:
        await service.stop()
        await owner.database.stop()


async def emptied(world: World) -> None:
    """Forget what a test wrote, once all of it was told."""
    world.bus.come_back()

    async def told() -> bool:
        return not await world.owner.sql("SELECT 1 FROM event_log WHERE published_at IS NULL")

    await eventually(told)
    for table in ("chat_messages", "chat_commands", "notifications", "event_log", "space_counters"):
        await world.owner.sql(f"DELETE FROM {table}")
    world.bus.published.clear()
