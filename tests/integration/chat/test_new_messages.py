"""Writing a message: stored once, told once, and only where one may."""

import asyncio
from typing import Any

import pytest

from libs.common.contracts import chat
from libs.common.contracts.chat import PostMessage
from libs.common.contracts.schema.writing import dump
from libs.common.db import event_log
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.identity import Identity
from libs.common.ids import new_id
from tests.integration.chat.world import World
from tests.integration.common.world import caller, guest
from tests.support.refusals import refusal


@pytest.fixture
def world(module_world: World) -> World:
    return module_world


async def test_a_message_is_stored_logged_and_published_as_it_was_answered(world: World) -> None:
    message = await world.post("hello @bob", client_message_id="c1")
    (row,) = await world.owner.sql("SELECT * FROM chat_messages")
    assert (str(row.id), row.seq, row.content, row.author_key) == (message.id, 1, "hello @bob", "account:alice")
    assert (message.user_account, message.guest, message.display_name) == ("alice", False, "alice")
    assert (message.mentions, message.client_message_id, message.thread_count) == (["bob"], "c1", 0)
    assert message.created_at == message.updated_at
    (logged,) = await world.log_rows()
    assert (logged.name, logged.seq, logged.actor, logged.subspace) == (
        "chat.message_posted",
        1,
        "account:alice",
        "main",
    )
    assert logged.payload == dump(message)
    (event,) = await world.published(1)
    assert (event.seq, event.payload) == (1, dump(message))


async def test_a_guests_message_names_no_account(world: World) -> None:
    message = await world.post(who=Identity("guest", "0192", "Al (guest)", token_id="t"))
    assert (message.user_account, message.guest, message.display_name) == (None, True, "Al (guest)")
    assert (await world.log_rows())[0].actor == "guest:0192"


async def test_ten_times_at_once_with_one_client_id_is_one_message(world: World) -> None:
    replies = await asyncio.gather(*(world.post(f"try {n}", client_message_id="same") for n in range(10)))
    assert all(reply == replies[0] for reply in replies), "and everybody has the same answer"
    assert len(await world.owner.sql("SELECT 1 FROM chat_messages")) == 1
    assert [row.seq for row in await world.log_rows()] == [1]
    assert await world.post("again", client_message_id="same") == replies[0]
    assert (await world.post("next")).seq == 2, "the tries that lost took no number"
    assert [event.seq for event in await world.published(2)] == [1, 2]


async def test_a_client_id_is_ones_own_in_one_space(world: World) -> None:
    one = await world.post(client_message_id="c1")
    others = [
        await world.post(client_message_id="c1", who="dave"),
        await world.post(client_message_id="c1", who=guest("0192")),
        await world.post(client_message_id="c1", who=guest("0193")),
        await world.post(client_message_id="c1", space_type="global", space_id="lobby"),
    ]
    assert len({one.id, *(other.id for other in others)}) == 5


async def test_messages_without_a_client_id_are_all_new(world: World) -> None:
    assert (await world.post("same")).id != (await world.post("same")).id


async def test_a_retried_reply_is_counted_once(world: World) -> None:
    parent = await world.post()
    await asyncio.gather(*(world.post(parent_message_id=parent.id, client_message_id="r") for _ in range(5)))
    assert (await world.page()).messages[0].thread_count == 1


async def test_replies_are_counted_and_listed(world: World) -> None:
    parent, other = await world.post("parent"), await world.post("other")
    replies = await asyncio.gather(*(world.post(f"r{n}", parent_message_id=parent.id) for n in range(8)))
    assert {reply.parent_message_id for reply in replies} == {parent.id}
    counts = {message.id: message.thread_count for message in (await world.page()).messages}
    assert (counts[parent.id], counts[other.id]) == (8, 0)
    thread = await world.page(parent_message_id=parent.id)
    assert [message.seq for message in thread.messages] == list(range(3, 11))


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"space_type": "global", "space_id": "lobby"},
        {"subspace": "attic"},
        {"space_type": "document", "space_id": "123"},
    ],
    ids=str,
)
async def test_a_parent_of_another_space_is_not_found_and_not_counted(world: World, elsewhere: dict[str, str]) -> None:
    parent = await world.post()
    assert await refusal(world.post(parent_message_id=parent.id, **elsewhere)) == "not_found"
    assert (await world.page()).messages[0].thread_count == 0
    assert len(await world.log_rows()) == 1, "what was refused took no number"


async def test_a_parent_that_does_not_exist_is_not_found(world: World) -> None:
    assert await refusal(world.post(parent_message_id=new_id())) == "not_found"


@pytest.mark.parametrize(
    ("who", "space", "outcome"),
    [
        ("alice", "post bob/hall", "ok"), ("muted", "post bob/hall", "muted"), ("banned", "post bob/hall", "banned"),
        ("dave", "event silent", "forbidden"), ("guest", "event silent", "forbidden"), ("mona", "event silent", "ok"),
        ("olivia", "event silent", "ok"), ("alice", "document 123", "ok"), ("dave", "document 123", "not_found"),
        ("guest", "document 123", "not_found"), ("dave", "post bob/hidden", "not_found"),
        ("bob", "post bob/hidden", "ok"), ("dave", "post bob/absent", "not_found"),
        ("dave", "post bob", "not_found"),
        ("dave", "nowhere x", "invalid_input"),
    ],
)  # fmt: skip
async def test_a_message_is_taken_by_the_policy_of_its_space(world: World, who: str, space: str, outcome: str) -> None:
    space_type, space_id = space.split(" ")
    assert await refusal(world.post(who=who, space_type=space_type, space_id=space_id)) == outcome
    assert len(await world.log_rows()) == (1 if outcome == "ok" else 0)


@pytest.mark.parametrize("space_id", ["bob/hidden", "bob/absent"])
async def test_a_hidden_space_answers_as_one_that_does_not_exist(world: World, space_id: str) -> None:
    parent = await world.post(who="bob", space_id="bob/hidden")
    for asking in (
        world.post(who="dave", space_id=space_id),
        world.post(who="dave", space_id=space_id, parent_message_id=parent.id),
        world.page("dave", space_id=space_id),
        world.page("dave", space_id=space_id, after=parent.id),
    ):
        with pytest.raises(PresenceError) as raised:
            await asking
        assert (raised.value.kind, raised.value.text, raised.value.details) == (NOT_FOUND, NOT_FOUND.text, {})


@pytest.mark.parametrize(
    "request_",
    [
        {"content": "x" * 2001}, {"content": "a\x00b"}, {"message_type": "A b"}, {"message_type": "system"},
        {"subspace": "a/b"},
        {"parent_message_id": "nonsense"}, {"client_message_id": "x" * 129}, {"client_message_id": "\x00"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_bad_field_is_invalid_input_and_named(world: World, request_: dict[str, Any]) -> None:
    with pytest.raises(PresenceError) as raised:
        await world.post(**request_)
    assert raised.value.kind.code == "invalid_input"
    assert list(raised.value.details["fields"]) == list(request_)


@pytest.mark.parametrize("content", ["x" * 2000, "👋" * 2000, "<script>", "a\nb\tc", "' OR 1=1 --"])
async def test_text_is_kept_as_it_was_written(world: World, content: str) -> None:
    assert (await world.post(content)).content == content
    assert (await world.page()).messages[0].content == content


async def test_messages_are_taken_while_the_broker_is_away_and_published_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "SWEEP_AGE", event_log.SWEEP_AGE * 0)
    world.bus.go_away()
    message = await world.post()
    assert (await world.page()).messages == [message]
    (row,) = await world.log_rows()
    assert row.published_at is None
    world.bus.come_back()
    assert [event.payload["id"] for event in await world.published(1)] == [message.id], "by the sweep"


async def test_the_request_id_is_in_the_log(world: World) -> None:
    await world.post(who=caller("alice"))
    assert (await world.log_rows())[0].request_id == "request-1"


async def test_an_empty_message_is_invalid_input(world: World) -> None:
    request = PostMessage("global", "lobby", "")
    assert await refusal(world.bus.call(chat.post_message, request, caller("alice"))) == "invalid_input"
