"""One chat on a real database and Redis, asked over the memory bus, with people of every standing."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.bus.base import Caller
from libs.common.cache import RedisClient
from libs.common.contracts import chat, documents, notifications
from libs.common.contracts.chat import (
    DeleteMessage,
    EditMessage,
    GetSnapshot,
    ListMessages,
    ListThread,
    Message,
    MessageId,
    MessagePage,
    PostMessage,
    React,
    Snapshot,
)
from libs.common.contracts.documents import Comment, CommentId, PostComment
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Operation
from libs.common.identity import Identity
from services.chat.app import build
from services.chat.rules.filters import Filter
from services.chat.settings import Settings
from tests.integration.common.world import Owner, RecordingBus, caller
from tests.support.settings import defaults
from tests.support.waiting import eventually

HALL: dict[str, Any] = {"space_type": "post", "space_id": "bob/hall"}
PLANS: dict[str, Any] = {"space_type": "document", "space_id": "123"}
CONTENT = """
INSERT INTO posts (author, permlink, type, row_hash, hidden) VALUES
  ('bob', 'hall', 'art', 'x', false), ('bob', 'hidden', 'art', 'x', true), ('alice', 'photo', '360', 'x', false),
  ('carol', 'cave', '360', 'x', false), ('dave', 'den', 'art', 'x', false);
INSERT INTO collaboration_documents (space_id, creator, is_public, comment_permissions, edit_permissions, row_hash)
  VALUES ('123', 'bob', false, 'all', 'all', 'x'), ('124', 'bob', true, 'all', 'all', 'x');
INSERT INTO collaboration_permissions (space_id, account, permission, row_hash) VALUES
  ('123', 'alice', 'comment', 'x'), ('123', 'erin', 'read', 'x'), ('123', 'eddy', 'edit', 'x');
INSERT INTO space_roles (space_type, space_id, account, role, given_by) VALUES
  ('post', 'bob/hall', 'mona', 'moderator', 'bob'), ('post', 'bob/hall', 'milo', 'moderator', 'bob');
INSERT INTO presence_permissions (space_type, space_id, account, permission, row_hash) VALUES
  ('event', 'silent', 'mona', 'moderate', 'x');
INSERT INTO presence_space_settings (space_type, space_id, chat_enabled) VALUES ('event', 'silent', false);
INSERT INTO space_sanctions (id, space_type, space_id, kind, subject_kind, subject, reason, imposed_by) VALUES
  (gen_random_uuid(), 'post', 'bob/hall', 'mute', 'account', 'muted', 'why', 'bob'),
  (gen_random_uuid(), 'post', 'bob/hall', 'ban', 'account', 'banned', 'why', 'bob')
"""
_numbers = itertools.count(1)


@dataclass
class World:
    """`bus` is another service's side of the bus."""

    bus: RecordingBus
    owner: Owner
    redis: RedisClient

    async def call[Request, Reply](
        self, operation: Operation[Request, Reply], request: Request, who: str | Identity | Caller = "alice"
    ) -> Reply:
        return await self.bus.call(operation, request, who if isinstance(who, Caller) else caller(who))

    async def post(self, content: str = "", who: str | Identity | Caller = "alice", **request: Any) -> Message:
        """Posts in the hall; without `content`, a text that nobody has written yet."""
        asked = PostMessage(**{**HALL, "content": content or f"hello {next(_numbers)}", **request})
        return (await self.call(chat.post_message, asked, who)).message

    async def edit(self, message: Message, content: str, who: str | Identity = "alice", **request: Any) -> Message:
        return (await self.call(chat.edit_message, EditMessage(message.id, content, **request), who)).message

    async def delete(self, message: Message, who: str | Identity = "alice", **request: Any) -> Message:
        return (await self.call(chat.delete_message, DeleteMessage(message.id, **request), who)).message

    async def react(
        self, message: Message, emoji: str, who: str | Identity = "alice", **request: Any
    ) -> dict[str, Any]:
        return (await self.call(chat.react, React(message.id, emoji, **request), who)).reactions

    async def get(self, message: Message, who: str | Identity = "alice") -> Message:
        return (await self.call(chat.get_message, MessageId(message.id), who)).message

    async def page(self, who: str | Identity = "alice", **request: Any) -> MessagePage:
        return await self.call(chat.list_messages, ListMessages(**{**HALL, **request}), who)

    async def thread(self, message: Message, who: str | Identity = "alice", **request: Any) -> MessagePage:
        return await self.call(chat.list_thread, ListThread(message.id, **request), who)

    async def read(self, message: Message, who: str = "alice", thread: str | None = None) -> notifications.ReadState:
        asked = notifications.MarkRead(message.space_type, message.space_id, message.id, thread)
        return await self.call(notifications.mark_read, asked, who)

    async def level(self, level: str, who: str = "alice", **space: str) -> notifications.ChatSubscription:
        asked = notifications.SetSubscription(**{**HALL, **space}, level=level)
        return await self.call(notifications.set_subscription, asked, who)

    async def unread(self, who: str = "alice", **space: str) -> int:
        asked = notifications.GetSubscription(**{**HALL, **space})
        return (await self.call(notifications.get_subscription, asked, who)).unread

    async def notified(self, who: str = "alice", **request: Any) -> notifications.Notifications:
        asked = notifications.ListNotifications(**request)
        return await self.call(notifications.list_notifications, asked, who)

    async def comment(self, content: str = "why?", who: str = "alice", **request: Any) -> Comment:
        asked = PostComment(**{"document_id": "123", "content": content, **request})
        return (await self.call(documents.post_comment, asked, who)).comment

    async def on_comment(self, operation: Operation[CommentId, Any], comment: Comment, who: str = "alice") -> Comment:
        """Get, delete, resolve or reopen."""
        changed: Comment = (await self.call(operation, CommentId(comment.document_id, comment.id), who)).comment
        return changed

    async def snapshot(self, who: str = "alice", **request: Any) -> Snapshot:
        return await self.call(chat.snapshot, GetSnapshot(**{**HALL, **request}), who)

    async def published(self, count: int) -> list[LoggedEvent]:
        """Waits until so many events were published."""
        await eventually(lambda: len(self.bus.published) >= count)
        return self.bus.published

    async def log_rows(self) -> Any:
        """Returns the rows of the log, in order."""
        return await self.owner.sql("SELECT * FROM event_log ORDER BY space_type, space_id, seq")

    async def logged(self) -> list[tuple[str, dict[str, Any]]]:
        """Returns name and payload of each event in the log, in order."""
        return [(row.name, row.payload) for row in await self.log_rows()]

    async def settings(self, **columns: Any) -> None:
        """What the owner set for the hall."""
        names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        await self.owner.sql(
            f"INSERT INTO presence_space_settings (space_type, space_id, {names})"
            f" VALUES ('post', 'bob/hall', {values})",
            **columns,
        )


@contextlib.asynccontextmanager
async def running(
    database_url: str, redis_url: str, filters: Sequence[Filter] | None = None, *, content: str = CONTENT
) -> AsyncIterator[World]:
    """A process of chat; the second one on a database brings no `content`."""
    bus, owner, redis = RecordingBus(), Owner(database_url), RedisClient(redis_url)
    for statement in filter(None, content.split(";")):
        await owner.sql(statement)
    settings = defaults(Settings, database_url=database_url, redis_url=redis_url, operators=("olivia",))
    service = build(settings, bus, filters)
    await service.start()
    try:
        await eventually(lambda: bus.ready)
        yield World(bus, owner, redis)
    finally:
        await service.stop()
        await redis.stop()
        await owner.database.stop()


async def emptied(world: World) -> None:
    """Deletes what a test wrote, once all of it is published."""
    world.bus.come_back()

    async def is_published() -> bool:
        return not await world.owner.sql("SELECT 1 FROM event_log WHERE published_at IS NULL")

    await eventually(is_published)
    for table in ("chat_messages", "chat_commands", "notifications", "event_log", "space_counters"):
        await world.owner.sql(f"DELETE FROM {table}")
    world.bus.published.clear()
