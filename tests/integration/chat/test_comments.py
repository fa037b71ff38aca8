"""Comments on documents: what they carry, who may do what, and that each thing happens once."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from libs.common import cache
from libs.common.contracts import documents
from libs.common.contracts.documents import (
    Comment,
    CommentPosition,
    EditComment,
    ListCommentEdits,
    ListComments,
)
from libs.common.contracts.notifications import Mention, ToAccount
from libs.common.errors import PresenceError
from tests.integration.chat.world import PLANS, World
from tests.support.refusals import refusal


async def listed(world: World, who: str = "alice", **request: Any) -> list[str | None]:
    asked = ListComments(**{"document_id": "123", **request})
    return [comment.content for comment in (await world.call(documents.list_comments, asked, who)).comments]


async def edit(world: World, comment: Comment, who: str = "alice", **request: Any) -> Comment:
    asked = EditComment(comment.document_id, comment.id, **request)
    return (await world.call(documents.edit_comment, asked, who)).comment


async def test_a_comment_has_a_section_a_place_and_a_type(world: World) -> None:
    place = CommentPosition(1.5, 2, -3)
    comment = await world.comment("why?", section="intro", position=place, comment_type="question")
    assert (comment.section, comment.position, comment.comment_type, comment.seq) == ("intro", place, "question", 1)
    assert await world.on_comment(documents.get_comment, comment, "erin") == comment
    [(name, told)] = await world.logged()
    assert (name, told["action"], told["by"]) == ("documents.comment_changed", "posted", "alice")
    assert told["comment"]["position"] == {"x": 1.5, "y": 2.0, "z": -3.0}
    assert await refusal(world.comment(comment_type="praise")) == "invalid_input"


async def test_comments_are_found_by_section_type_thread_and_whether_they_are_resolved(world: World) -> None:
    one = await world.comment("one", section="intro")
    await world.comment("two", section="intro", comment_type="approval")
    await world.comment("three", parent_comment_id=one.id)
    await world.on_comment(documents.resolve_comment, one, "eddy")
    assert await listed(world) == ["one", "two", "three"]
    assert await listed(world, section="intro") == ["one", "two"]
    assert await listed(world, comment_type="approval") == ["two"]
    assert await listed(world, parent_comment_id=one.id) == ["three"]
    assert await listed(world, resolved=True) == ["one"]
    assert await listed(world, resolved=False, section="intro") == ["two"]


async def test_comments_are_paged_oldest_first(world: World) -> None:
    for number in range(5):
        await world.comment(str(number))
    first = await world.call(documents.list_comments, ListComments("123", limit=3))
    rest = await world.call(documents.list_comments, ListComments("123", limit=3, cursor=first.next_cursor))
    assert [c.content for c in first.comments + rest.comments] == ["0", "1", "2", "3", "4"]
    assert (first.has_more, rest.has_more, rest.next_cursor) == (True, False, None)


async def test_ten_equal_comments_at_once_are_one(world: World) -> None:
    answers = await asyncio.gather(*(world.comment(client_message_id="c") for _ in range(10)))
    assert len({answer.id for answer in answers}) == 1
    assert len(await world.logged()) == 1


async def test_replies_are_counted_and_stay_in_their_document(world: World) -> None:
    parent = await world.comment()
    replies = await asyncio.gather(*(world.comment(str(n), parent_comment_id=parent.id) for n in range(5)))
    await world.on_comment(documents.delete_comment, replies[0])
    await world.on_comment(documents.delete_comment, replies[0])
    assert (await world.on_comment(documents.get_comment, parent)).thread_count == 4
    assert await refusal(world.comment(document_id="124", parent_comment_id=parent.id)) == "not_found"


async def test_its_author_edits_a_comment_and_nobody_else(world: World) -> None:
    comment = await world.comment("wyh?", section="intro")
    edited = await edit(world, comment, content="why?", comment_type="question")
    assert (edited.content, edited.comment_type, edited.section, edited.is_edited) == (
        "why?",
        "question",
        "intro",
        True,
    )
    assert await edit(world, comment, content="why?") == edited
    for who in ("eddy", "bob", "olivia"):
        assert await refusal(edit(world, comment, who, content="x")) == "forbidden", who
    assert [told["action"] for _, told in await world.logged()] == ["posted", "edited"]


async def history(world: World, comment: Comment, who: str = "alice") -> list[str]:
    found = await world.call(documents.comment_history, ListCommentEdits(comment.document_id, comment.id), who)
    return [edit.content for edit in found.edits]


async def test_a_comments_history_is_paged(world: World) -> None:
    comment = await world.comment("0")
    for content in ("1", "2", "3"):
        await edit(world, comment, content=content)
    asked = ListCommentEdits("123", comment.id, limit=2)
    first = await world.call(documents.comment_history, asked)
    rest = await world.call(documents.comment_history, replace(asked, cursor=first.next_cursor))
    assert [edit.content for edit in first.edits + rest.edits] == ["0", "1", "2"]
    assert (first.has_more, rest.has_more, rest.next_cursor) == (True, False, None)


async def test_a_bad_document_is_named_as_the_caller_named_it(world: World) -> None:
    with pytest.raises(PresenceError) as caught:
        await world.comment(document_id="no document")
    assert caught.value.details == {"fields": {"document_id": ["Malformed."]}}


async def test_the_former_words_of_a_comment_are_its_history(world: World) -> None:
    comment = await world.comment("first")
    for content in ("second", "second", "third"):
        await edit(world, comment, content=content)
    await edit(world, comment, section="elsewhere")
    assert await history(world, comment, "erin") == ["first", "second"]
    assert await refusal(history(world, comment, "dave")) == "not_found"


async def test_a_deleted_comment_leaves_no_words(world: World) -> None:
    comment = await world.comment("secret")
    await edit(world, comment, content="other secret")
    await world.on_comment(documents.resolve_comment, comment)
    gone = await world.on_comment(documents.delete_comment, comment)
    assert (gone.is_deleted, gone.content) == (True, None)
    assert await listed(world) == [None]
    assert await history(world, comment) == []
    for table in ("document_comments", "document_comment_edits", "event_log"):
        assert "secret" not in str(await world.owner.sql(f"SELECT * FROM {table}")), table
    assert await refusal(edit(world, comment, content="x")) == "conflict"
    assert await refusal(world.on_comment(documents.resolve_comment, comment)) == "conflict"


async def test_resolving_and_reopening_is_told_once_each(world: World) -> None:
    comment = await world.comment()
    resolved = await world.on_comment(documents.resolve_comment, comment, "eddy")
    assert (resolved.resolved, resolved.resolved_by) == (True, "eddy")
    assert (await world.on_comment(documents.resolve_comment, comment, "bob")).resolved_by == "eddy"
    reopened = await world.on_comment(documents.reopen_comment, comment, "alice")
    assert (reopened.resolved, reopened.resolved_by, reopened.resolved_at) == (False, None, None)
    assert [told["action"] for _, told in await world.logged()] == ["posted", "resolved", "reopened"]


# alice may comment, erin read, eddy edit; bob is the owner, olivia an operator, carol nobody to the private document.
@pytest.mark.parametrize(
    ("who", "reads", "writes", "resolves", "deletes"),
    [
        ("alice", "ok", "ok", "ok", "ok"),  # her own
        ("erin", "ok", "forbidden", "forbidden", "forbidden"),
        ("eddy", "ok", "ok", "ok", "forbidden"),
        ("bob", "ok", "ok", "ok", "ok"),
        ("olivia", "ok", "ok", "ok", "ok"),
        ("carol", "not_found", "not_found", "not_found", "not_found"),
        ("guest", "not_found", "not_found", "not_found", "not_found"),
    ],
)
async def test_a_private_document_takes_comments_by_its_permissions(
    world: World, who: str, reads: str, writes: str, resolves: str, deletes: str
) -> None:
    comment = await world.comment(who="alice")
    assert await refusal(listed(world, who)) == reads
    assert await refusal(world.on_comment(documents.get_comment, comment, who)) == reads
    assert await refusal(world.comment(who=who)) == writes
    assert await refusal(world.on_comment(documents.resolve_comment, comment, who)) == resolves
    assert await refusal(world.on_comment(documents.reopen_comment, comment, who)) == resolves
    assert await refusal(world.on_comment(documents.delete_comment, comment, who)) == deletes


@pytest.mark.parametrize(
    ("who", "writes", "resolves"),
    [("carol", "ok", "forbidden"), ("guest", "forbidden", "forbidden"), ("bob", "ok", "ok")],
)
async def test_a_public_document_takes_comments_of_every_account(
    world: World, who: str, writes: str, resolves: str
) -> None:
    comment = await world.comment(document_id="124")
    assert await listed(world, who, document_id="124") == ["why?"]
    assert await refusal(world.comment(who=who, document_id="124")) == writes
    assert await refusal(world.on_comment(documents.resolve_comment, comment, who)) == resolves
    own = await world.comment(who="dave", document_id="124")
    assert await refusal(world.on_comment(documents.resolve_comment, own, "dave")) == "ok", "one's own always"


async def told(world: World, who: str) -> list[tuple[str, str | None, str | None]]:
    """Returns kind, comment and content of the account's notifications, and checks that as many are counted."""
    found = await world.notified(who, unread=True)
    assert sum(space.notifications for space in found.unread) == len(found.notifications)
    return [(n.kind, n.comment_id, n.content) for n in found.notifications if n.message_id is None]


async def test_a_comment_notifies_whom_it_names_if_they_may_read_the_document(world: World) -> None:
    comment = await world.comment("@bob, @Erin and @carol: 看@eddy", who="alice")
    for who in ("bob", "erin", "eddy"):
        assert await told(world, who) == [("mention", comment.id, comment.content)]
    assert await told(world, "carol") == [], "she may not read document 123"
    await world.comment("@alice, myself", who="alice")
    assert await told(world, "alice") == []


async def test_a_comments_mention_comes_and_goes_with_an_edit_and_goes_with_the_comment(world: World) -> None:
    comment = await world.comment("@bob and @erin, wrong people")
    await edit(world, comment, content="@erin and @eddy, look")
    assert await told(world, "bob") == []
    for who in ("erin", "eddy"):
        assert await told(world, who) == [("mention", comment.id, "@erin and @eddy, look")]
    await edit(world, comment, section="intro")
    assert len(await told(world, "erin")) == 1
    await world.on_comment(documents.delete_comment, comment)
    assert (await told(world, "erin"), await told(world, "eddy")) == ([], [])


async def test_who_wants_to_hear_nothing_of_a_document_is_not_notified_of_its_comments(world: World) -> None:
    await world.level("none", "bob", **PLANS)
    await world.comment("@bob")
    assert await told(world, "bob") == []


async def test_a_comment_that_is_posted_twice_notifies_once_and_at_once(world: World) -> None:
    async with world.redis.redis.pubsub() as pubsub:
        await pubsub.subscribe(cache.ACCOUNTS)
        comments = [await world.comment("@bob", client_message_id="c1") for _ in range(2)]
        heard = [
            msgspec.json.decode(packet["data"], type=ToAccount)
            for _ in range(4)
            if (packet := await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.3))
        ]
    assert len(await told(world, "bob")) == 1
    [packet] = heard
    about = msgspec.json.decode(packet.data, type=Mention)
    assert (packet.account, about.comment_id, about.message_id) == ("bob", comments[0].id, None)
    assert (about.space_id, about.seq, about.content) == ("123", comments[0].seq, "@bob")


async def test_who_has_commented_can_be_named(world: World) -> None:
    await world.comment("here I am", who="walter", document_id="124")
    assert (await world.post("hello @walter")).mentions == ["walter"]
