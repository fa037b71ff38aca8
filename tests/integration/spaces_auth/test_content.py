"""What a space shows, from what is kept here: the primary and Hive are away, and the rights are those of the space."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from deploy.local.ipfs.files import SCENE, cid_of, files
from libs.common import cache
from libs.common.cache import RedisClient
from libs.common.contracts import content
from libs.common.contracts.content import SCENE_KINDS, GetContent, SpaceContent
from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.hive import HiveClient
from libs.common.spaces import SpaceKey
from services.sync_worker.titles.titles import Titles
from tests.integration.spaces_auth.world import World, running
from tests.integration.sync_worker.world import DEAD
from tests.integration.sync_worker.world import World as Replica
from tests.support.servers import Servers

APPS = "https://{author}.apps.test/{cid}"
MEDIA = "http://localhost:8080/api/media/"
KINDS = {  # the primary's type of a post → the kind of its scene
    "360": "360",
    "art": "gallery",
    "vrml": "vrml",
    "aframe": "aframe",
    "blog": "blog",
    "game": "game",
    "hologram": "blog",
    "Blog": "blog",
}
OF_PICTURES, OF_PROGRAMS = ("360", "gallery"), ("vrml", "aframe", "game")
ODD = """INSERT INTO posts (author, permlink, block, type) VALUES
  ('alice', 'a-hologram', 1, 'hologram'), ('alice', 'untyped', 2, NULL), ('alice', 'shouted', 3, 'Blog')"""
DOCUMENT_TEXT = """INSERT INTO collaboration_documents
  (owner, permlink, document_name, is_public, content, last_activity) VALUES
  ('alice', 'with-text', 'With a text', true, 'Some *text*.', '2024-05-01Z'),
  ('alice', 'without-text', 'Without a text', true, NULL, '2024-05-01Z')"""
UNFETCHED = """INSERT INTO posts (author, permlink, type, row_hash, hidden) VALUES
  ('bob', 'unfetched', '360', 'x', false), ('bob', 'secret', '360', 'x', true) ON CONFLICT DO NOTHING"""


class Kept:
    """spaces_auth over the replica of a primary that it does not know of; its Hive node is nowhere."""

    def __init__(self, spaces_auth: World, replica: Replica) -> None:
        self.spaces_auth, self.replica = spaces_auth, replica

    async def content(self, space: str, who: str = "dave") -> SpaceContent:
        key = SpaceKey.from_text(space)
        return await self.spaces_auth.call(content.get_content, GetContent(key.space_type, key.space_id), who)

    async def code(self, space: str, who: str = "dave") -> str:
        try:
            await self.content(space, who)
        except PresenceError as error:
            return error.kind.code
        return "ok"

    async def post_of(self, kind: str) -> str:
        """Returns a public post of that type."""
        rows = await self.replica.replica(
            f"SELECT author || '/' || permlink FROM posts WHERE type = '{kind}' AND NOT hidden AND NOT flagged LIMIT 1"
        )
        return f"post:{rows[0][0]}"


@pytest.fixture(scope="module")
async def kept(servers: Servers) -> AsyncIterator[Kept]:
    database_url, redis_url = await servers.new_database(), servers.new_redis_database()
    primary_url = await servers.new_primary()
    async with contextlib.AsyncExitStack() as stack:
        database, redis = Database(database_url, "sync_worker"), RedisClient(redis_url)
        stack.push_async_callback(database.stop)
        stack.push_async_callback(redis.stop)
        primary = await asyncpg.connect(primary_url)
        stack.push_async_callback(primary.close)
        replica = Replica(database, redis, primary, primary_url)
        for statement in (ODD, DOCUMENT_TEXT):
            await primary.execute(statement)
        await replica.sync()
        await _ask_hive(database, servers.hive_url)
        spaces_auth = await stack.enter_async_context(running(database_url, redis_url, f"http://{DEAD}", apps_url=APPS))
        yield Kept(spaces_auth, replica)


async def _ask_hive(database: Database, hive_url: str) -> None:
    hive = HiveClient([hive_url], 5.0)
    await hive.start()
    try:
        await Titles(database, hive, 500).fill()
    finally:
        await hive.stop()


@pytest.mark.parametrize(("kind", "scene"), KINDS.items())
async def test_a_post_of_each_kind_shows_its_text_its_pictures_and_its_scene(kept: Kept, kind: str, scene: str) -> None:
    shown = await kept.content(await kept.post_of(kind))

    assert shown.scene.kind == scene
    assert scene in SCENE_KINDS
    if scene in OF_PICTURES:
        (first,) = [asset for asset in shown.assets if asset.first]
        assert shown.scene.url == first.url
        assert (first.kind, first.rotation) == ("ts", "0 -90 0")
        assert len(shown.assets) == {"360": 1, "gallery": 5}[scene]
    elif scene in OF_PROGRAMS:
        assert shown.scene.url == f"https://{shown.author}.apps.test/{cid_of(SCENE)}"
        assert shown.scene.entry == f"ipfs://{cid_of(SCENE)}"
    else:
        assert (shown.scene.url, shown.assets) == (None, [])
    if kind in ("360", "art", "vrml", "aframe", "blog", "game") and shown.author != "alice":
        assert shown.body.startswith(f"## {shown.title}")
        assert (shown.body_format, shown.pending) == ("markdown", False)
        assert shown.tags
    urls = [url for image in shown.images for url in (image.url, image.thumb)]
    urls += [url for asset in shown.assets for url in (asset.url, asset.thumb)]
    assert all(url.startswith(MEDIA) and url.removeprefix(MEDIA) in files() for url in urls)


async def test_a_post_without_a_type_is_a_blog(kept: Kept) -> None:
    assert (await kept.content("post:alice/untyped")).scene.kind == "blog"


async def test_a_post_has_its_author_its_time_and_its_license(kept: Kept) -> None:
    shown = await kept.content("post:alice/my-360-photo")

    assert shown.title == "My 360 photo: the bridge at dawn"
    assert (shown.author, shown.created_at) == ("alice", datetime(2024, 3, 1, 12, tzinfo=UTC))
    assert (shown.license, shown.tags) == ("CC-BY-4.0", ["360", "photography", "dlux"])
    assert shown.document is None


@pytest.mark.parametrize(
    ("space", "title", "author", "text"),
    [
        ("document:124", "House rules", "bob", "Be kind. Mute when you are not talking."),
        ("document:alice/with-text", "With a text", "alice", "Some *text*."),
        ("document:alice/open-notes", "Open notes", "alice", "Everybody may read this.\nWrite to alice to change it."),
        ("document:alice/without-text", "Without a text", "alice", None),
    ],
)
async def test_a_document_of_either_shape_shows_its_text(
    kept: Kept, space: str, title: str, author: str, text: str | None
) -> None:
    shown = await kept.content(space)

    assert (shown.title, shown.author, shown.scene.kind) == (title, author, "document")
    assert shown.document is not None
    assert shown.document.updated_at is not None
    assert shown.body == (shown.document.text or "")
    assert (shown.document.text is None) == (text is None)
    assert shown.body.startswith(text or "")


async def test_the_lobby_is_a_lobby(kept: Kept) -> None:
    shown = await kept.content("global:lobby")

    assert shown.title
    assert (shown.scene.kind, shown.scene.url, shown.document, shown.pending) == ("lobby", None, None, False)


async def test_what_one_may_not_see_has_no_content(kept: Kept) -> None:
    assert await kept.code("post:carol/not-for-you") == "ok"  # dave has access by the primary
    assert await kept.code("post:carol/not-for-you", "bob") == "not_found"
    assert await kept.code("document:123", "alice") == "ok"
    assert [await kept.code(space) for space in ("document:123", "document:126", "post:bob/none")] == ["not_found"] * 3


async def test_a_right_that_the_primary_takes_away_ends_the_content_with_the_cycle(kept: Kept) -> None:
    assert await kept.code("document:125", "bob") == "ok"
    await kept.replica.primary.execute("DELETE FROM collaboration_permissions WHERE document_id = 125")
    await kept.replica.sync()
    assert await kept.code("document:125", "bob") == "not_found"

    post = (await kept.post_of("game")).removeprefix("post:")
    author, _, permlink = post.partition("/")
    await kept.replica.primary.execute(
        "UPDATE posts SET hidden = true WHERE (author, permlink) = ($1, $2)", author, permlink
    )
    await kept.replica.sync()
    assert await kept.code(f"post:{post}", "xena") == "not_found"


async def test_a_post_that_hive_was_not_asked_for_says_so_and_is_asked_for_next(kept: Kept) -> None:
    redis = kept.spaces_auth.redis.redis
    await redis.delete(cache.CONTENT_WANTED)
    await kept.spaces_auth.owner.sql(UNFETCHED)

    shown = await kept.content("post:bob/unfetched")
    assert await kept.code("post:bob/secret") == "not_found"

    assert (shown.pending, shown.body, shown.title, shown.scene.kind) == (True, "", "unfetched", "360")
    assert await redis.zrange(cache.CONTENT_WANTED, 0, -1) == [b"bob/unfetched"]


async def test_strangers_make_no_more_wanted_posts_than_a_thousand(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = kept.spaces_auth.redis.redis
    await redis.delete(cache.CONTENT_WANTED)
    await kept.spaces_auth.owner.sql(UNFETCHED)
    monkeypatch.setattr(cache, "MOST_WANTED", 1)
    await redis.zadd(cache.CONTENT_WANTED, {"alice/another": 1.0})

    await kept.content("post:bob/unfetched")

    assert await redis.zcard(cache.CONTENT_WANTED) == 1
