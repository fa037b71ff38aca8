"""Read cursors, unread counts, levels, and who is told of what."""

import asyncio

import msgspec
import pytest
from redis.asyncio.client import PubSub

from libs.common import cache
from libs.common.contracts import notifications
from libs.common.contracts.chat import Message
from libs.common.contracts.notifications import Mention, Notifications, ReadNotifications, ToAccount
from libs.common.ids import new_id
from services.chat.inbox import read_cursors_repository
from services.chat.inbox.notification_list import MOST_SPACES
from services.chat.notifications.notices import Notices
from services.chat.notifications.notifier import Notifier
from services.chat.notifications.subscriptions_repository import MOST_EAGER
from tests.integration.chat.world import HALL, PLANS, World
from tests.support.refusals import refusal
from tests.support.waiting import eventually


def kinds(found: Notifications) -> list[tuple[str, str | None]]:
    return [(notification.kind, notification.content) for notification in found.notifications]


async def test_unread_counts_others_messages_after_the_cursor(world: World) -> None:
    messages = [await world.post(str(n), "bob") for n in range(4)]
    await world.post("mine", "alice")
    assert await world.unread() == 4
    state = await world.read(messages[1])
    assert (state.last_read_message_id, state.last_read_seq, state.unread) == (messages[1].id, 2, 2)
    await world.delete(messages[3], "bob")
    assert await world.unread() == 1
    await world.post("a reply counts in its thread", "bob", parent_message_id=messages[0].id)
    assert await world.unread() == 1


async def test_reading_one_subspace_leaves_the_others_unread(world: World) -> None:
    stage = [await world.post(f"stage {n}", "bob", subspace="stage") for n in range(2)]
    bar = [await world.post(f"bar {n}", "bob", subspace="bar") for n in range(3)]
    await world.post("main", "bob")
    state = await world.read(bar[1])
    assert (state.subspace, state.last_read_message_id, state.unread) == ("bar", bar[1].id, 1)
    subscription = await world.call(notifications.get_subscription, notifications.GetSubscription(**HALL))
    assert [(c.subspace, c.last_read_message_id, c.unread) for c in subscription.subspaces] == [
        ("bar", bar[1].id, 1), ("main", None, 1), ("stage", None, 2),
    ]  # fmt: skip
    assert (subscription.last_read_message_id, subscription.unread) == (bar[1].id, 4)
    await world.read(stage[1])
    assert await world.unread() == 2, "one in the bar, one in main"
    listed = await world.call(notifications.list_notifications, notifications.ListNotifications())
    assert [space.messages for space in listed.unread] == [2]


async def test_what_one_cursor_of_the_space_had_read_stays_read_in_every_subspace(world: World) -> None:
    messages = [await world.post("x", "bob", subspace=subspace) for subspace in ("main", "bar", "main", "bar")]
    await world.call(notifications.set_subscription, notifications.SetSubscription(**HALL, level="mentions"))
    await world.owner.sql("UPDATE chat_subscriptions SET last_read_seq = :seq", seq=messages[1].seq)
    assert await world.unread() == 2
    await world.read(messages[3])
    assert await world.unread() == 1, "and is no floor for what is read later"
    state = await world.read(messages[0])
    assert (state.last_read_seq, state.unread) == (messages[1].seq, 1)


async def test_a_subspace_beyond_those_that_are_listed_has_its_cursor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_cursors_repository, "MOST_SUBSPACES", 2)
    messages = [await world.post(name, "bob", subspace=name) for name in ("a", "b", "c")]
    assert await world.unread() == 2
    assert (await world.read(messages[2])).last_read_message_id == messages[2].id


async def test_a_cursor_never_goes_back(world: World) -> None:
    early, late = await world.post("1", "bob"), await world.post("2", "bob")
    await world.read(late)
    state = await world.read(early)
    assert (state.last_read_message_id, state.unread) == (late.id, 0)


async def test_each_thread_has_a_cursor_of_its_own(world: World) -> None:
    parent = await world.post("question", "bob")
    replies = [await world.post(str(n), "bob", parent_message_id=parent.id) for n in range(3)]
    state = await world.read(replies[0], thread=parent.id)
    assert (state.thread_id, state.unread) == (parent.id, 2)
    assert (await world.read(replies[2], thread=parent.id)).unread == 0
    assert (await world.read(replies[1], thread=parent.id)).last_read_message_id == replies[2].id
    assert await world.unread() == 1, "the space's own cursor has not moved"
    elsewhere = await world.post("other", "bob")
    assert await refusal(world.read(replies[0], thread=elsewhere.id)) == "not_found"


async def test_a_cursor_takes_a_message_of_its_space_only_and_an_account(world: World) -> None:
    message = await world.post(space_type="global", space_id="lobby")
    asked = notifications.MarkRead(**HALL, message_id=message.id)
    assert await refusal(world.call(notifications.mark_read, asked)) == "not_found"
    assert await refusal(world.call(notifications.mark_read, asked, "guest")) == "unauthorized"


async def test_mentions_and_replies_are_notified_once_each(world: World) -> None:
    message = await world.post("hi @alice and @alice, and @bob", "bob")
    await world.post("to bob", "carol", parent_message_id=message.id)
    await world.post("to bob and @bob", "carol", parent_message_id=message.id)
    assert kinds(await world.notified("alice")) == [("mention", "hi @alice and @alice, and @bob")]
    assert kinds(await world.notified("bob")) == [("mention", "to bob and @bob"), ("reply", "to bob")]
    assert kinds(await world.notified("carol")) == []


async def test_only_accounts_that_we_know_are_mentioned(world: World) -> None:
    message = await world.post("@bob @nobody-we-know @dave @erin @walter", "alice")
    assert message.mentions == ["bob", "dave", "erin"]
    await world.post("I am here", "walter")
    assert (await world.post("hello @walter", "alice")).mentions == ["walter"], "who has written is known"


async def test_a_level_that_is_delivered_again_late_does_not_undo_a_later_one(world: World) -> None:
    old = notifications.SetSubscription("post", "bob/hall", "none", client_message_id="c1")
    assert (await world.call(notifications.set_subscription, old, "dave")).level == "none"
    assert (await world.level("all", "dave")).level == "all"
    assert (await world.call(notifications.set_subscription, old, "dave")).level == "all"


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("all", ["mention", "message"]),
        ("mentions", ["mention"]),
        ("none", []),
    ],
)
async def test_the_level_decides_what_is_heard(world: World, level: str, heard: list[str]) -> None:
    assert (await world.level(level, "dave")).level == level
    await world.post("hello all", "alice")
    await world.post("hello @dave", "alice")
    await world.post("my own", "dave")
    assert [kind for kind, _ in kinds(await world.notified("dave"))] == heard


async def test_an_edit_tells_whom_only_the_new_words_name(world: World) -> None:
    message = await world.post("hello @bob")
    await world.edit(message, "hello @bob and @carol")
    assert kinds(await world.notified("carol")) == [("mention", "hello @bob and @carol")]
    assert len((await world.notified("bob")).notifications) == 1


async def unread_of(world: World, who: str) -> int:
    return sum(space.notifications for space in (await world.notified(who)).unread)


async def test_a_mention_edited_out_takes_its_unread_notification_along(world: World) -> None:
    message = await world.post("hey @bob and @dave, wrong person")
    await world.edit(message, "hey @carol and @dave, look")
    assert (await unread_of(world, "bob"), await unread_of(world, "carol"), await unread_of(world, "dave")) == (0, 1, 1)
    assert (await world.notified("bob")).notifications == []
    await world.edit(message, "nobody")
    assert (await unread_of(world, "carol"), await unread_of(world, "dave")) == (0, 0)


async def test_a_mention_that_was_read_stays_read_when_it_is_edited_out_and_is_unread_when_it_comes_again(
    world: World,
) -> None:
    message = await world.post("hey @bob")
    await world.call(notifications.read_notifications, ReadNotifications(), "bob")
    await world.edit(message, "hey you")
    assert len((await world.notified("bob")).notifications) == 1, "what bob has read is not unsaid"
    assert await unread_of(world, "bob") == 0
    await world.edit(message, "hey @bob")
    assert (await unread_of(world, "bob"), len((await world.notified("bob")).notifications)) == (1, 1)


async def test_who_is_answered_or_wants_to_hear_all_is_so_after_a_mention_was_edited_out(world: World) -> None:
    question = await world.post("why?", "bob")
    await world.level("all", "dave")
    answer = await world.post("because, @bob and @dave", parent_message_id=question.id)
    assert [kind for kind, _ in kinds(await world.notified("bob"))] == ["mention"]
    await world.edit(answer, "because")
    assert kinds(await world.notified("bob")) == [("reply", "because")]
    assert kinds(await world.notified("dave")) == [("message", "because")]
    await world.edit(answer, "because, @bob")
    assert kinds(await world.notified("bob")) == [("mention", "because, @bob")]


async def test_an_edit_tells_at_once_whom_only_the_new_words_name(world: World) -> None:
    async with world.redis.redis.pubsub() as pubsub:
        await pubsub.subscribe(cache.ACCOUNTS)
        message = await world.post("hi @bob")
        first: ToAccount = await eventually(lambda: mention(pubsub))
        await world.edit(message, "hi @bob, 你好@carol")
        second: ToAccount = await eventually(lambda: mention(pubsub))
        assert await mention(pubsub) is None
    assert (first.account, second.account) == ("bob", "carol")


async def test_notifications_are_paged_counted_and_read(world: World) -> None:
    for number in range(5):
        await world.post(f"{number} @bob")
    first = await world.notified("bob", limit=3)
    rest = await world.notified("bob", limit=3, cursor=first.next_cursor)
    assert [n.content for n in first.notifications + rest.notifications] == [f"{n} @bob" for n in (4, 3, 2, 1, 0)]
    ids = [n.id for n in first.notifications]
    assert (await world.call(notifications.read_notifications, ReadNotifications(ids), "bob")).read == 3
    assert (await world.call(notifications.read_notifications, ReadNotifications(ids), "alice")).read == 0
    unread = await world.notified("bob", unread=True)
    assert len(unread.notifications) == 2
    assert [(s.space_id, s.notifications, s.messages) for s in unread.unread] == [("bob/hall", 2, 0)]
    assert (await world.call(notifications.read_notifications, ReadNotifications(), "bob")).read == 2
    assert (await world.notified("bob", unread=True)).notifications == []


async def test_an_account_is_not_notified_of_messages_it_may_not_see(world: World) -> None:
    await world.post("@carol @erin look", "alice", **PLANS)
    assert (await world.notified("carol")).notifications == []
    assert len((await world.notified("erin")).notifications) == 1
    await world.owner.sql("DELETE FROM collaboration_permissions WHERE account = 'erin'")
    assert (await world.notified("erin")).notifications == [], "nor of what they may not see any more"
    await world.post("@banned", "alice")
    assert (await world.notified("banned")).notifications == []


async def mention(pubsub: PubSub) -> ToAccount | None:
    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1)
    return msgspec.json.decode(message["data"], type=ToAccount) if message else None


async def test_a_mentioned_account_is_notified_at_once(world: World) -> None:
    async with world.redis.redis.pubsub() as pubsub:
        await pubsub.subscribe(cache.ACCOUNTS)
        message = await world.post("hi @bob")
        told: ToAccount = await eventually(lambda: mention(pubsub))
    about = msgspec.json.decode(told.data, type=Mention)
    assert (told.account, told.event, about.kind, about.by) == ("bob", "mention", "mention", "alice")
    assert (about.message_id, about.content, about.seq) == (message.id, "hi @bob", message.seq)


async def test_writing_does_not_wait_for_redis(world: World) -> None:
    await world.redis.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
    message: Message = await world.post("hi @bob")
    assert len((await world.notified("bob")).notifications) == 1
    assert message.seq == 1


async def test_notifications_are_paged_over_any_number_of_spaces(world: World) -> None:
    spaces = [{"space_type": "event", "space_id": f"evening-{n}"} for n in range(MOST_SPACES + 2)]
    for space in spaces:
        await world.post("@alice", "bob", **space)
    first = await world.notified(limit=50)
    rest = await world.notified(limit=50, cursor=first.next_cursor)
    found = [notification.space_id for notification in [*first.notifications, *rest.notifications]]
    assert found == [space["space_id"] for space in reversed(spaces)]
    assert rest.next_cursor is None


async def test_a_page_is_full_though_older_spaces_are_hidden_by_now(world: World) -> None:
    await world.post("@alice", "carol", space_type="event", space_id="first")
    await world.post("@alice", "bob", **PLANS)
    for n in range(MOST_SPACES):
        await world.post("@alice", "bob", space_type="event", space_id=f"evening-{n}")
    await world.owner.sql("DELETE FROM collaboration_permissions WHERE account = 'alice'")
    newest = await world.notified(limit=MOST_SPACES)
    last = await world.notified(limit=1, cursor=newest.next_cursor)
    assert [notification.space_id for notification in last.notifications] == ["first"]


async def test_an_account_with_the_level_none_is_not_notified_whatever_number_of_others_want_all(world: World) -> None:
    await world.owner.sql(
        f"""INSERT INTO chat_subscriptions (space_type, space_id, account, level)
            SELECT 'post', 'bob/hall', 'eager-' || n, 'all' FROM generate_series(1, {MOST_EAGER + 1}) n"""
    )
    await world.read(await world.post("hello", "bob"), "zoe")
    await world.level("none", "zoe")
    await world.owner.sql("DELETE FROM notifications")
    await world.post("@zoe", "bob")
    assert (await world.notified("zoe")).notifications == []
    (row,) = await world.owner.sql("SELECT count(*) FROM notifications")
    assert row.count == MOST_EAGER


async def test_a_notice_of_an_event_notifies_each_account_once(world: World) -> None:
    notice = new_id()
    await world.owner.sql(
        "INSERT INTO event_notices (id, kind, event_id, host, title, accounts)"
        f" VALUES ('{notice}', 'event_reminder', 'party', 'bob', 'Party', '{{alice,carol}}')"
    )
    replicas = [Notices(world.owner.database, Notifier(world.redis)) for _ in range(2)]
    await asyncio.gather(*(replica.look() for replica in replicas))
    await replicas[0].look()
    for account in ("alice", "carol"):
        page = await world.call(notifications.list_notifications, notifications.ListNotifications(), account)
        (told,) = page.notifications
        assert (told.kind, told.content, told.message_id, told.space_id) == ("event_reminder", "Party", None, "party")
    await world.owner.sql("DELETE FROM event_notices")


async def test_a_notice_of_a_webhook_notifies_its_owner_once_whatever_became_of_the_space(world: World) -> None:
    await world.owner.sql(
        "INSERT INTO webhook_notices (id, kind, account, space_type, space_id, host, title, link) VALUES"
        f" ('{new_id()}', 'webhook_disabled', 'alice', 'document', '9', 'myapp.com', 'It was disabled.', '/webhooks#1')"
    )
    replicas = [Notices(world.owner.database, Notifier(world.redis)) for _ in range(2)]
    await asyncio.gather(*(replica.look() for replica in replicas))
    await replicas[0].look()
    page = await world.call(notifications.list_notifications, notifications.ListNotifications(), "alice")
    (told,) = [one for one in page.notifications if one.kind == "webhook_disabled"]
    assert (told.by, told.content, told.link) == ("myapp.com", "It was disabled.", "/webhooks#1")
    assert (told.message_id, told.comment_id) == (None, None)
    await world.owner.sql("DELETE FROM webhook_notices")
