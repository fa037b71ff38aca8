"""Nobody reads what they may not: every operation of chat, asked by those who may not see what it is about.

The table is checked against the registry, so that an operation without a row fails.
"""

from collections.abc import Callable
from typing import Any

import pytest

from libs.common.contracts import chat, default_registry, documents, notifications
from libs.common.contracts.chat import Message
from libs.common.contracts.documents import Comment
from libs.common.contracts.registry import Access
from tests.integration.chat.world import PLANS, World
from tests.support.refusals import refusal

type Ask = Callable[[Message, Comment], Any]

# What an outsider asks about a private document's space (PLANS), by its message, or by its comment.
BY_SPACE: dict[str, Ask] = {
    chat.post_message.name: lambda m, c: chat.PostMessage(**PLANS, content="let me in"),
    chat.list_messages.name: lambda m, c: chat.ListMessages(**PLANS),
    notifications.get_subscription.name: lambda m, c: notifications.GetSubscription(**PLANS),
    notifications.set_subscription.name: lambda m, c: notifications.SetSubscription(**PLANS, level="all"),
    documents.post_comment.name: lambda m, c: documents.PostComment("123", "let me in"),
    documents.list_comments.name: lambda m, c: documents.ListComments("123"),
}
BY_MESSAGE: dict[str, Ask] = {
    chat.get_message.name: lambda m, c: chat.MessageId(m.id),
    chat.edit_message.name: lambda m, c: chat.EditMessage(m.id, "mine"),
    chat.delete_message.name: lambda m, c: chat.DeleteMessage(m.id),
    chat.list_thread.name: lambda m, c: chat.ListThread(m.id),
    chat.message_history.name: lambda m, c: chat.ListEdits(m.id),
    chat.react.name: lambda m, c: chat.React(m.id, "👍"),
    chat.unreact.name: lambda m, c: chat.Unreact(m.id, "👍"),
    notifications.mark_read.name: lambda m, c: notifications.MarkRead(**PLANS, message_id=m.id),
}
BY_COMMENT: dict[str, Ask] = {
    documents.get_comment.name: lambda m, c: documents.CommentId("123", c.id),
    documents.comment_history.name: lambda m, c: documents.ListCommentEdits("123", c.id),
    documents.edit_comment.name: lambda m, c: documents.EditComment("123", c.id, "mine"),
    documents.delete_comment.name: lambda m, c: documents.CommentId("123", c.id),
    documents.resolve_comment.name: lambda m, c: documents.CommentId("123", c.id),
    documents.reopen_comment.name: lambda m, c: documents.CommentId("123", c.id),
}
OF_THE_CALLER = {notifications.list_notifications.name, notifications.read_notifications.name}  # hold what is one's own
TABLE = BY_SPACE | BY_MESSAGE | BY_COMMENT
OPERATIONS = {
    operation.name: operation
    for operation in default_registry().operations
    if operation.service == "chat" and operation.access is not Access.INTERNAL  # realtime asks for those it let in
}
OUTSIDERS = ("carol", "guest", "anonymous")


def test_the_table_has_every_operation_of_chat() -> None:
    assert set(OPERATIONS) == TABLE.keys() | OF_THE_CALLER


@pytest.mark.parametrize("name", TABLE)
async def test_a_hidden_space_answers_as_if_it_did_not_exist(world: World, name: str) -> None:
    operation: Any = OPERATIONS[name]
    message = await world.post("secret @carol", "alice", **PLANS)
    comment = await world.comment("secret", "alice")
    before = len(await world.logged())
    for who in OUTSIDERS:
        needs_account = operation.access is Access.ACCOUNT and name.startswith("chat.")
        expected = {"not_found", "unauthorized"} if needs_account and who != "carol" else {"not_found"}
        assert await refusal(world.call(operation, TABLE[name](message, comment), who)) in expected, who
    assert len(await world.logged()) == before, "and nothing happened"
    assert await refusal(world.call(operation, TABLE[name](message, comment), "alice")) == "ok"


@pytest.mark.parametrize("name", BY_COMMENT)
async def test_another_documents_comment_is_none_of_this_one(world: World, name: str) -> None:
    operation: Any = OPERATIONS[name]
    comment = await world.comment("secret", "alice")
    request = BY_COMMENT[name](None, comment)  # type: ignore[arg-type]
    through_a_public_one = type(request)(**{**vars(request), "document_id": "124"})
    for who in ("alice", "carol"):
        assert await refusal(world.call(operation, through_a_public_one, who)) == "not_found"


async def test_a_private_message_cannot_be_reached_through_a_public_space(world: World) -> None:
    message = await world.post("secret", "alice", **PLANS)
    lobby: dict[str, Any] = {"space_type": "global", "space_id": "lobby"}
    for asked in (
        world.call(chat.list_messages, chat.ListMessages(**lobby, before=message.id), "carol"),
        world.call(chat.list_messages, chat.ListMessages(**lobby, after=message.id), "carol"),
        world.call(chat.get_message, chat.MessageId(message.id, **lobby), "carol"),
        world.call(notifications.mark_read, notifications.MarkRead(**lobby, message_id=message.id), "carol"),
        world.post("reply", "carol", **lobby, parent_message_id=message.id),
    ):
        assert await refusal(asked) == "not_found"
    thread = chat.ListMessages(**lobby, parent_message_id=message.id)
    assert (await world.call(chat.list_messages, thread, "carol")).messages == []
    found = chat.ListMessages(**lobby, q="secret")
    assert (await world.call(chat.list_messages, found, "carol")).messages == []


async def test_an_account_that_lost_access_reads_no_more(world: World) -> None:
    message = await world.post("secret", "bob", **PLANS)
    assert await refusal(world.get(message, "erin")) == "ok"
    await world.owner.sql("DELETE FROM collaboration_permissions WHERE account = 'erin'")
    assert await refusal(world.get(message, "erin")) == "not_found"


async def test_notifications_and_unread_counts_are_ones_own(world: World) -> None:
    await world.post("for @bob", "alice")
    assert len((await world.notified("bob")).notifications) == 1
    assert (await world.notified("dave")).notifications == []
    assert (await world.notified("dave")).unread == []
