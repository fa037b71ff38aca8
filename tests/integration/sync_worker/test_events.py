"""What the log is told of the primary's changes: each once, with the change, and nothing that is none."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from deploy.local.guardian import REPOSITORY
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.contracts import webhooks
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from services.sync_worker.primary.connection import PrimaryAway
from services.sync_worker.replication.cycle import Outcome
from tests.integration.sync_worker.world import DOCUMENTS_BY_ID, POSTS, PRESENCE_PERMISSIONS, World
from tests.integration.webhook_dispatcher.world import Clock, message_posted, settings_for
from tests.integration.webhook_dispatcher.world import World as Dispatch
from tests.support.waiting import eventually, line_with
from tests.support.webhook_sink import WebhookSink

LOG = "SELECT name, space_type || ':' || space_id, payload FROM event_log ORDER BY id"
DOCUMENT = "document:1"
NOTHING = "SELECT 1"

type Told = tuple[str, str, dict[str, Any]]


@pytest.fixture
async def copied(bare_world: World) -> World:
    """bob's public document 1 and alice's post `photo`, replicated; alice may edit the document."""
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID + ";" + PRESENCE_PERMISSIONS)
    await bare_world.primary.execute("INSERT INTO posts VALUES ('alice', 'photo', 1, 0, '360', 0)")
    await bare_world.primary.execute(
        "INSERT INTO collaboration_documents (title, content, creator, is_public) VALUES ('Plan', 'a', 'bob', true);"
        "INSERT INTO collaboration_permissions (document_id, user_account, permission) VALUES (1, 'alice', 'edit')"
    )
    assert await bare_world.sync() is Outcome.DONE
    return bare_world


async def told(world: World) -> list[Told]:
    return [(name, space, payload) for name, space, payload in await world.replica(LOG)]


async def told_after(world: World, statement: str) -> list[Told]:
    """Returns what a cycle tells after a statement at the primary."""
    before = len(await told(world))
    await world.primary.execute(statement)
    await world.sync()
    return (await told(world))[before:]


def post(change: str) -> Told:
    return ("content.post_changed", "post:alice/photo", {"author": "alice", "permlink": "photo", "change": change})


def document(**fields: Any) -> Told:
    payload = {"title": "Plan", "updated_at": None, "public": True, "deleted": False}
    return ("content.document_changed", DOCUMENT, {**payload, **fields})


def deleted(**fields: Any) -> Told:
    payload = {"title": "Plan", "creator": "bob", "public": True, "updated_at": None, "deleted": True}
    return ("content.document_deleted", DOCUMENT, {**payload, **fields})


def permission(space: str, table: str, value: str | None) -> Told:
    return ("content.permission_changed", space, {"account": "alice", "permission": value, "table": table})


async def test_a_first_copy_tells_nothing_though_it_broke_off_and_the_primary_changed_meanwhile(
    bare_world: World,
) -> None:
    world, pages = bare_world, 0

    async def third_page_is_never_read(_: str) -> None:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise PrimaryAway("broken off")

    await world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await world.add_posts(1500)
    await world.primary.execute(
        "INSERT INTO collaboration_documents (title, creator) VALUES ('Plan', 'bob');"
        "INSERT INTO collaboration_permissions (document_id, user_account) VALUES (1, 'alice')"
    )
    world.between_pages = third_page_is_never_read
    assert await world.sync() is Outcome.FAILED
    world.stop_watching()
    await world.primary.execute("UPDATE posts SET hidden = true WHERE permlink IN ('post-1', 'post-1499')")
    assert await world.sync() is Outcome.DONE
    assert await told(world) == []


async def test_a_post_that_is_hidden_shown_or_deleted_is_told_once_by_the_worker(copied: World) -> None:
    assert await told_after(copied, "UPDATE posts SET hidden = true") == [post("hidden")]
    assert await told_after(copied, "UPDATE posts SET flagged = true") == []  # it was hidden before
    assert await told_after(copied, "UPDATE posts SET hidden = false, flagged = false") == [post("shown")]
    assert await told_after(copied, "INSERT INTO posts VALUES ('alice', 'other', 2, 0, '360', 0)") == []
    assert await told_after(copied, "DELETE FROM posts WHERE permlink = 'photo'") == [post("deleted")]
    assert await told_after(copied, NOTHING) == []
    assert await copied.replica("SELECT DISTINCT actor FROM event_log") == [("service:sync_worker",)]


async def test_votes_and_visits_are_no_change(copied: World) -> None:
    assert await told_after(copied, "UPDATE posts SET votes = 7, rating = 3, type = 'vr'") == []
    visited = "ALTER TABLE collaboration_documents ADD last_activity timestamptz DEFAULT now()"
    assert await told_after(copied, visited) == []
    assert await copied.replica("SELECT votes FROM posts") == [(7,)]
    assert await copied.replica("SELECT last_activity IS NULL FROM collaboration_documents") == [(False,)]


async def test_a_document_is_told_by_title_time_and_access_also_when_only_its_content_changed(copied: World) -> None:
    table = "collaboration_documents"
    assert await told_after(copied, f"UPDATE {table} SET title = 'New'") == [document(title="New")]
    content = await told_after(copied, f"UPDATE {table} SET content = 'b', title = 'Plan'")
    assert content == [document()]
    assert await told_after(copied, f"UPDATE {table} SET content = 'secret'") == [document()]
    moment = "2024-01-15T10:30:00.000Z"
    assert await told_after(copied, f"UPDATE {table} SET updated_at = '2024-01-15 10:30'") == [
        document(updated_at=moment)
    ]
    closed = document(updated_at=moment, public=False)
    assert await told_after(copied, f"UPDATE {table} SET is_public = false") == [closed]
    gone = deleted(updated_at=moment, public=False)
    assert await told_after(copied, f"UPDATE {table} SET is_deleted = true") == [gone]
    assert await told_after(copied, f"UPDATE {table} SET title = 'Unseen'") == []  # of a document that is deleted


async def test_a_permission_given_changed_and_taken_away_is_told(copied: World) -> None:
    table = "collaboration_permissions"
    assert await told_after(copied, f"UPDATE {table} SET permission = 'read'") == [permission(DOCUMENT, table, "read")]
    assert await told_after(copied, f"DELETE FROM {table}") == [permission(DOCUMENT, table, None)]
    roles, space = "presence_permissions", "post:alice/photo"
    given = f"INSERT INTO {roles} VALUES (1, 'post', 'alice/photo', 'alice', 'moderate')"
    assert await told_after(copied, given) == [permission(space, roles, "moderate")]
    assert await told_after(copied, f"DELETE FROM {roles}") == [permission(space, roles, None)]


async def test_rows_that_are_closed_since_too_many_vanished_are_told_as_hidden(copied: World) -> None:
    assert await told_after(copied, "DELETE FROM posts") == [post("hidden")]


async def test_a_pass_that_writes_everything_anew_tells_nothing(copied: World, database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    for table in ("posts", "collaboration_documents", "collaboration_permissions"):
        await owner.execute(f"UPDATE {table} SET row_hash = 'another version''s'")
    await owner.execute("UPDATE sync_state SET position = NULL")
    await owner.close()
    assert await told_after(copied, NOTHING) == []
    assert await copied.replica("SELECT count(*) FROM posts WHERE row_hash LIKE 'another%'") == [(0,)]


async def test_a_row_and_what_is_told_of_it_are_committed_together(copied: World, database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute("ALTER TABLE event_log ADD CONSTRAINT full_disk CHECK (name NOT LIKE 'content.%')")
    assert await told_after(copied, "UPDATE posts SET hidden = true") == []
    assert await copied.replica("SELECT hidden FROM posts") == [(False,)]
    await owner.execute("ALTER TABLE event_log DROP CONSTRAINT full_disk")
    await owner.close()
    assert await told_after(copied, NOTHING) == [post("hidden")]


@contextlib.asynccontextmanager
async def dispatching(database_url: str) -> AsyncIterator[tuple[Dispatch, EventLog]]:
    """The webhook dispatcher on a bus, and a log that publishes there."""
    broker, owner = MemoryBroker(), Database(database_url, None, 2)
    dispatch = Dispatch(settings_for(database_url), broker, MemoryBus(broker), owner, Clock())
    try:
        async with dispatch.dispatcher():
            yield dispatch, EventLog(owner, dispatch.bus)
    finally:
        await owner.stop()


async def subscribe(dispatch: Dispatch, sink: WebhookSink, account: str, *events: str) -> str:
    where = {"space_type": "document", "space_id": "1", "events": [*(events or ["document_edit"])]}
    return (await dispatch.subscribe(sink.url, account=account, **where)).subscription.id


async def sweep(log: EventLog) -> int:
    """Returns how many events were published, as soon as what was left behind is old enough."""
    count: int = await eventually(log.sweep, 15.0)
    return count


async def test_a_worker_killed_between_commit_and_publish_costs_no_webhook_and_sends_none_twice(
    copied: World, database_url: str, redis_url: str, hive_url: str
) -> None:
    environment = {
        **os.environ,
        "PRESENCE_DATABASE_URL": database_url,
        "PRESENCE_REDIS_URL": redis_url,
        "PRESENCE_PRIMARY_URL": copied.primary_url,
        "PRESENCE_HIVE_NODES": hive_url,
        "PRESENCE_OPS_PORT": "0",
    }
    async with dispatching(database_url) as (dispatch, log), WebhookSink() as sink:
        subscription = await subscribe(dispatch, sink, "carol")
        await copied.primary.execute("UPDATE collaboration_documents SET content = 'b'")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.stuck_sync",
            cwd=REPOSITORY, env=environment, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await line_with(process, b"committed content.document_changed")
        finally:
            process.kill()
            await process.wait()
        assert await copied.sync() is Outcome.DONE  # the next worker's cycle finds nothing to tell
        assert await sweep(log) == 1
        (request,) = await sink.wait_for(1)
        await dispatch.sql("UPDATE event_log SET published_at = NULL")  # killed before it was marked
        assert await sweep(log) == 1
        await copied.primary.execute("UPDATE collaboration_documents SET title = 'Last'")
        assert await copied.sync() is Outcome.DONE
        assert await sweep(log) == 1
        await sink.wait_for(2)
        assert len(await dispatch.deliveries(subscription)) == 2
    data = {"title": "Plan", "updated_at": None, "public": True, "deleted": False}
    assert (request.json["event"], request.json["data"]) == ("document_edit", data)
    assert [one.json["data"]["title"] for one in sink.received] == ["Plan", "Last"]


async def test_who_may_not_see_a_document_any_more_is_not_told_what_became_of_it(
    copied: World, database_url: str
) -> None:
    async with dispatching(database_url) as (dispatch, log), WebhookSink() as stranger:
        subscription = await subscribe(dispatch, stranger, "carol")
        await told_after(copied, "UPDATE collaboration_documents SET is_public = false, title = 'Private'")
        assert await sweep(log) == 1
        dead = await dispatch.delivery_in("dead", subscription)
        assert stranger.received == []
    assert dead.last_error == "carol may not receive this event of the space any more (not_found)."


DELETE, MARK = "DELETE FROM collaboration_documents", "UPDATE collaboration_documents SET is_deleted = true"


@pytest.mark.parametrize("statement", [DELETE, f"{MARK}, title = 'Unseen', content = 'Unseen'"])
async def test_whoever_could_read_a_document_hears_once_that_it_was_deleted_and_no_more(
    copied: World, database_url: str, statement: str
) -> None:
    await copied.primary.execute("INSERT INTO collaboration_documents (title, creator) VALUES ('Other', 'bob')")
    await copied.sync()
    async with dispatching(database_url) as (dispatch, log), WebhookSink() as sink:
        subscription = await subscribe(dispatch, sink, "carol")
        await dispatch.sql("UPDATE event_log SET published_at = now()")
        assert len(await told_after(copied, f"{statement} WHERE id = 1")) == 1
        assert await sweep(log) == 1
        (request,) = await sink.wait_for(1)
        assert await told_after(copied, "SELECT 1") == []
        stored = await dispatch.do(webhooks.get_subscription, id=subscription)
    assert (request.json["event"], request.json["space_id"]) == ("document_edit", "1")
    assert request.json["data"] == {"updated_at": None, "deleted": True}
    assert stored.active  # for the document may come back


PRIVATE = "UPDATE collaboration_documents SET is_public = false"
BANNED = (
    "INSERT INTO space_sanctions (id, space_type, space_id, kind, subject_kind, subject, reason, imposed_by)"
    " VALUES (gen_random_uuid(), 'document', '1', 'ban', 'account', 'carol', 'spam', 'bob')"
)


@pytest.mark.parametrize("before", ["private", "private and deleted at once", "banned"])
async def test_who_could_not_read_a_document_at_its_end_is_not_told_of_it(
    copied: World, database_url: str, before: str
) -> None:
    async with dispatching(database_url) as (dispatch, log), WebhookSink() as sink, WebhookSink() as creator:
        subscription = await subscribe(dispatch, sink, "carol")
        await subscribe(dispatch, creator, "bob")
        if before == "banned":
            await dispatch.sql(BANNED)
        else:
            await copied.primary.execute(PRIVATE)
        if before == "private":
            await copied.sync()
            await dispatch.sql("UPDATE event_log SET published_at = now()")
        await told_after(copied, MARK)
        assert await sweep(log) == 1
        (request,) = await creator.wait_for(1)
        dead = await dispatch.delivery_in("dead", subscription)
        assert sink.received == []
    assert request.json["data"] == {"updated_at": None, "deleted": True}
    assert "carol may not receive this event of the space any more" in str(dead.last_error)


async def test_what_is_pending_of_a_document_that_is_gone_is_not_sent_and_takes_no_notice_with_it(
    copied: World, database_url: str
) -> None:
    async with dispatching(database_url) as (dispatch, log), WebhookSink() as sink:
        subscription = await subscribe(dispatch, sink, "carol", "chat", "document_edit")
        sink.answer(500)
        await dispatch.bus.publish(message_posted(space_type="document", space_id="1"))
        await dispatch.delivery_in("pending", subscription, attempts=1)
        sink.answer(200)
        await told_after(copied, MARK)
        dispatch.clock.advance(seconds=6)
        await dispatch.delivery_in("dead", subscription, attempts=1)
        assert await sweep(log) == 1
        await sink.wait_for(2)
        await told_after(copied, "UPDATE collaboration_documents SET is_deleted = false")
        assert await sweep(log) == 1
        await sink.wait_for(3)
    assert [one.json["event"] for one in sink.received] == ["chat", "document_edit", "document_edit"]
    assert [one.json["data"]["deleted"] for one in sink.received[1:]] == [True, False]


async def test_the_creator_of_a_private_document_is_told_of_its_changes(copied: World, database_url: str) -> None:
    async with dispatching(database_url) as (dispatch, log), WebhookSink() as creator:
        await subscribe(dispatch, creator, "bob")
        await told_after(copied, "UPDATE collaboration_documents SET is_public = false, title = 'Private'")
        assert await sweep(log) == 1
        (request,) = await creator.wait_for(1)
    assert (request.json["data"]["title"], request.json["data"]["public"]) == ("Private", False)
