"""Edits and deletions: by whom, what they leave, and that each happens once."""

import asyncio

import pytest

from libs.common.contracts import chat
from libs.common.contracts.chat import ListEdits
from libs.common.db.cursor import encode
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from services.chat.messages import message_pages_repository as pages
from tests.integration.chat.world import World
from tests.integration.common.world import caller, guest
from tests.support.refusals import refusal


async def history(world: World, message: chat.Message, who: str = "alice") -> list[str]:
    found = await world.call(chat.message_history, ListEdits(message.id), who)
    return [edit.content for edit in found.edits]


async def test_an_edit_shows_and_what_was_said_before_is_its_history(world: World) -> None:
    message = await world.post("helo @bob")
    edited = await world.edit(message, "hello @carol")
    assert (edited.content, edited.is_edited, edited.mentions, edited.seq) == ("hello @carol", True, ["carol"], 1)
    assert await world.get(message, "dave") == edited
    await world.edit(message, "hello!")
    assert await history(world, message, "dave") == ["helo @bob", "hello @carol"]
    assert [name for name, _ in await world.logged()] == [
        "chat.message_posted", "chat.message_edited", "chat.message_edited",
    ]  # fmt: skip
    last = (await world.logged())[-1][1]
    assert (last["id"], last["content"], last["seq"]) == (message.id, "hello!", 3)


async def test_only_the_author_edits(world: World) -> None:
    message = await world.post("hello")
    for who in ("dave", "bob", "mona", "olivia", "guest"):
        assert await refusal(world.edit(message, "mine now", who)) == "forbidden", who
    assert (await world.get(message)).content == "hello"


async def test_a_guest_edits_and_deletes_by_the_same_token_only(world: World) -> None:
    message = await world.post(who=guest("0192"))
    assert await refusal(world.edit(message, "x", guest("0193"))) == "forbidden"
    assert (await world.edit(message, "hi", guest("0192"))).content == "hi"
    assert await refusal(world.delete(message, guest("0193"))) == "forbidden"
    assert (await world.delete(message, guest("0192"))).is_deleted


async def test_the_same_words_again_are_no_edit(world: World) -> None:
    message = await world.post("hello")
    assert await world.edit(message, "hello") == message
    assert len(await world.logged()) == 1


async def test_an_edit_that_is_delivered_again_late_does_not_undo_a_later_one(world: World) -> None:
    message = await world.post("one")
    await world.edit(message, "two", client_message_id="e1")
    await world.edit(message, "three", client_message_id="e2")
    again = await world.edit(message, "two", client_message_id="e1")
    assert again.content == "three"
    assert await history(world, message) == ["one", "two"]


async def test_ten_equal_edits_at_once_are_one(world: World) -> None:
    message = await world.post("one")
    answers = await asyncio.gather(*(world.edit(message, "two", client_message_id="e") for _ in range(10)))
    assert {answer.content for answer in answers} == {"two"}
    assert len(await world.logged()) == 2


async def test_a_deleted_message_is_a_tombstone_and_nothing_of_it_can_be_read(world: World) -> None:
    message = await world.post("secret words @bob")
    await world.edit(message, "other secret words")
    await world.react(message, "👍", "dave")
    gone = await world.delete(message)
    assert (gone.is_deleted, gone.content, gone.mentions, gone.reactions) == (True, None, [], {})
    assert await world.get(message) == gone
    assert (await world.page()).messages == [gone]
    assert (await world.page(q="secret")).messages == []
    assert await history(world, message) == []
    assert (await world.notified("bob")).notifications == []
    stored = await world.owner.sql("SELECT * FROM chat_messages")
    assert "secret" not in str(stored)
    logged = await world.logged()
    assert "secret" not in str(logged), "nor in the log: the words are gone, the facts are not"
    assert [name for name, _ in logged][::3] == ["chat.message_posted", "chat.message_deleted"]
    assert logged[0][1]["is_deleted"]
    assert logged[0][1]["display_name"] == "alice"


async def test_a_deleted_message_takes_no_edit_reply_or_reaction(world: World) -> None:
    message = await world.post()
    await world.delete(message)
    assert await refusal(world.edit(message, "back")) == "conflict"
    assert await refusal(world.post(parent_message_id=message.id)) == "conflict"
    assert await refusal(world.react(message, "👍")) == "conflict"
    assert (await world.delete(message)).is_deleted, "deleting again changes nothing"
    assert len(await world.logged()) == 2


@pytest.mark.parametrize(
    ("author", "who", "answer"),
    [
        ("alice", "alice", "ok"),
        ("alice", "dave", "forbidden"),
        ("alice", "guest", "forbidden"),
        ("alice", "banned", "banned"),
        ("alice", "mona", "ok"),
        ("milo", "mona", "forbidden"),
        ("bob", "mona", "forbidden"),
        ("milo", "bob", "ok"),
        ("bob", "olivia", "ok"),
        ("guest", "mona", "ok"),
    ],
)
async def test_a_message_is_deleted_by_those_above_its_author_only(
    world: World, author: str, who: str, answer: str
) -> None:
    message = await world.post(who=author)
    assert await refusal(world.delete(message, who, reason="spam")) == answer
    assert (await world.get(message)).is_deleted is (answer == "ok")


async def test_a_moderators_deletion_is_told_as_moderation_with_its_reason(world: World) -> None:
    message = await world.post()
    await world.delete(message, "mona", reason="spam")
    name, told = (await world.logged())[-1]
    assert (name, told["id"], told["user_account"], told["deleted_by"], told["reason"]) == (
        "chat.message_removed", message.id, "alice", "mona", "spam",
    )  # fmt: skip


async def test_threads_count_their_replies_exactly(world: World) -> None:
    parent = await world.post("question")
    replies = await asyncio.gather(
        *(world.post(f"answer {n}", f"user{n % 5}", parent_message_id=parent.id) for n in range(20))
    )
    assert (await world.get(parent)).thread_count == 20
    await asyncio.gather(*(world.delete(reply, f"user{n % 5}") for n, reply in enumerate(replies[:7])))
    assert (await world.get(parent)).thread_count == 13
    first = await world.thread(parent, limit=15)
    rest = await world.thread(parent, limit=15, cursor=first.next_cursor)
    assert [m.seq for m in first.messages + rest.messages] == sorted(reply.seq for reply in replies)
    assert (rest.has_more, rest.next_cursor) == (False, None)


async def test_replies_nest(world: World) -> None:
    parent = await world.post("one")
    child = await world.post("two", parent_message_id=parent.id)
    grandchild = await world.post("three", parent_message_id=child.id)
    assert [(await world.get(m)).thread_count for m in (parent, child, grandchild)] == [1, 1, 0]
    assert (await world.thread(child)).messages == [grandchild]


async def test_a_message_id_of_another_space_is_no_message_here(world: World) -> None:
    message = await world.post(space_type="global", space_id="lobby")
    assert await refusal(world.edit(message, "x", space_type="post", space_id="bob/hall")) == "not_found"
    assert await refusal(world.delete(message, space_type="post", space_id="bob/hall")) == "not_found"
    assert await refusal(world.react(message, "👍", space_type="post", space_id="bob/hall")) == "not_found"
    assert await refusal(world.page(before=message.id)) == "not_found"
    assert await refusal(world.post(parent_message_id=message.id)) == "not_found"


async def test_search_finds_all_words_in_one_space(world: World) -> None:
    for text in ("red dragon", "blue dragon", "Red balloon", "nothing"):
        await world.post(text)
    await world.post("red dragon elsewhere", space_type="global", space_id="lobby")

    async def found(q: str) -> list[str | None]:
        return [message.content for message in (await world.page(q=q)).messages]

    assert await found("dragon") == ["red dragon", "blue dragon"]
    assert await found("RED dragon") == ["red dragon"]
    assert await found("red -dragon") == ["Red balloon"]
    assert await found("' OR 1=1 --") == []


async def put_many(world: World, first: chat.Message, count: int = 20_000) -> None:
    """More words in the space of the first one."""
    await world.owner.sql(
        f"""INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, display_name, message_type,
              content, client_message_id, created_at, updated_at)
            SELECT (left('{first.id}', 24) || lpad(n::text, 12, '0'))::uuid, n + 1, '{first.space_type}',
              '{first.space_id}', 'main', 'guest:g', 'Guest', 'text', 'words and words ' || n, n::text, now(), now()
            FROM generate_series(1, {count}) n"""
    )


async def test_a_search_that_would_read_all_of_a_large_space_is_refused_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LONGEST_SEARCH_MS", 1)
    await put_many(world, await world.post("the first words"))
    with pytest.raises(PresenceError) as caught:
        await world.page(q='-words "and and"')
    assert (caught.value.kind.code, list(caught.value.details["fields"])) == ("invalid_input", ["q"])
    assert len((await world.page(q="words", limit=10)).messages) == 10


async def test_a_small_space_is_searched_without_the_index_of_all_spaces(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def in_time(_: object, statement: object) -> list[object]:
        asked.append(statement)
        return []

    monkeypatch.setattr(pages, "_in_time", in_time)
    first = await world.post("words here")
    assert [message.content for message in (await world.page(q='"words here" -and')).messages] == ["words here"]
    assert (await world.page(q="nowhere")).messages == asked == []
    await put_many(world, first, pages.WINDOW)
    assert (await world.page(q="nowhere")).messages == []
    assert len(asked) == 1


async def test_a_reply_by_a_machine_whose_clock_is_behind_is_in_the_thread(world: World) -> None:
    parent = await world.post("question")
    reply = await world.post("answer", "bob", parent_message_id=parent.id)
    milliseconds = int(parent.id.replace("-", "")[:12], 16) - 5000
    early = f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}{reply.id[13:]}"
    await world.owner.sql("UPDATE chat_messages SET id = :early WHERE id = :id", early=early, id=reply.id)
    assert [message.id for message in (await world.thread(parent)).messages] == [early]
    assert [message.id for message in (await world.page(parent_message_id=parent.id)).messages] == [early]
    state = await world.read(parent, "alice", thread=parent.id)
    assert state.unread == 1


async def test_a_history_is_paged(world: World) -> None:
    message = await world.post("0")
    for n in range(1, 6):
        await world.edit(message, str(n))
    seen: list[str] = []
    cursor: str | None = None
    for size in (2, 2, 1):
        page = await world.call(chat.message_history, ListEdits(message.id, cursor, 2))
        assert (len(page.edits), page.has_more) == (size, len(seen) + size < 5)
        seen, cursor = seen + [edit.content for edit in page.edits], page.next_cursor
    assert (seen, cursor) == (["0", "1", "2", "3", "4"], None)
    foreign = ListEdits(message.id, encode("1' OR true"))
    assert await refusal(world.call(chat.message_history, foreign)) == "invalid_input"


async def test_only_guests_are_shown_as_guests(world: World) -> None:
    operator = Identity("service", "operator", "operator", operator=True)
    posted = [await world.post("by us", operator), await world.post("by a guest", "guest")]
    assert [message.guest for message in posted] == [False, True]
    assert (await world.page()).messages == posted == [await world.get(message) for message in posted]


async def test_pages_after_a_message_go_on_by_cursor(world: World) -> None:
    messages = [await world.post(str(n)) for n in range(7)]
    first = await world.page(after=messages[0].id, limit=4)
    rest = await world.page(after=messages[0].id, limit=4, cursor=first.next_cursor)
    assert [m.content for m in first.messages + rest.messages] == ["1", "2", "3", "4", "5", "6"]
    assert rest.next_cursor is None


async def test_the_request_names_its_caller(world: World) -> None:
    message = await world.post(who=caller("alice").identity)
    assert message.display_name == "alice"
