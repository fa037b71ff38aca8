"""The replica equals the primary, whatever shape its tables have."""

from datetime import UTC, datetime

import pytest

from deploy.local.primary import Shape, seed
from services.sync_worker.replication.cycle import Outcome
from tests.integration.sync_worker.world import DOCUMENTS_BY_ID, DOCUMENTS_BY_NAME, POSTS, World

POST_COLUMNS = (
    "author, permlink, type, block, votes, voteweight, promote, paid, ratings, nsfw, sensitive, hidden, featured, "
    "flagged, flag_reason, moderated_by, moderated_at, remix_cid, license, tags"
)


async def test_first_cycle_copies_the_demo_primary_with_both_document_shapes(world: World) -> None:
    assert await world.sync() is Outcome.DONE

    in_order = 'ORDER BY author COLLATE "C", permlink COLLATE "C"'
    posts = f"SELECT {POST_COLUMNS}, coalesce(rating, 0)::float8 FROM posts {in_order}"
    assert await world.replica(posts) == await world.original(posts)
    assert await world.replica(
        "SELECT space_id, title, CASE WHEN number IS NULL THEN content END, creator, is_public, is_deleted, updated_at "
        "FROM collaboration_documents ORDER BY 1"
    ) == await world.original(
        "SELECT coalesce(owner || '/' || permlink, id::text) AS space_id, coalesce(document_name, title), content, "
        "coalesce(owner, creator), is_public, is_deleted, updated_at "
        "FROM collaboration_documents ORDER BY 1"
    )
    assert await world.replica(
        "SELECT * FROM (SELECT space_id, account, permission FROM collaboration_permissions) p ORDER BY 1, 2"
    ) == [
        ("123", "alice", "comment"),
        ("125", "bob", "edit"),
        ("125", "dave", "read"),
        ("bob/shared-draft", "alice", "edit"),
        ("bob/shared-draft", "dave", "read"),
    ]
    assert ("post", "bob/sculpture-hall", "alice", "moderate") in await world.replica(
        "SELECT space_type, space_id, account, permission FROM presence_permissions"
    )


IDS = ["123", "124", "125", "126"]
NAMES = ["alice/open-notes", "bob/shared-draft", "carol/private-journal"]


@pytest.mark.parametrize(
    ("shape", "documents", "permissions"),
    [(Shape.MIXED, IDS + NAMES, 5), (Shape.BY_ID, IDS, 3), (Shape.BY_NAME, NAMES, 2)],
)
async def test_the_demo_primary_is_copied_in_each_shape_that_its_setting_gives_it(
    bare_world: World, shape: Shape, documents: list[str], permissions: int
) -> None:
    await seed(bare_world.primary_url, shape)
    assert await bare_world.sync() is Outcome.DONE
    spaces = await bare_world.replica('SELECT space_id FROM collaboration_documents ORDER BY space_id COLLATE "C"')
    assert [space for (space,) in spaces] == documents
    assert await bare_world.replica("SELECT count(*) FROM collaboration_permissions") == [(permissions,)]


async def test_a_primary_with_documents_by_id_only_is_copied(bare_world: World) -> None:
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.primary.execute(
        "INSERT INTO collaboration_documents VALUES "
        "(7, 'Plan', 'text', 'alice', false, false, '2024-05-01 10:00'), (8, 'Open', null, 'bob', true, false, null);"
        "INSERT INTO collaboration_permissions VALUES (1, 7, 'bob', 'comment'), (2, 7, 'dave', 'admin')"
    )

    assert await bare_world.sync() is Outcome.DONE

    documents = (
        "SELECT space_id, title, content, creator, is_public, is_deleted, updated_at FROM collaboration_documents"
    )
    assert await bare_world.replica(documents + " ORDER BY 1") == [
        ("7", "Plan", "text", "alice", False, False, datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("8", "Open", None, "bob", True, False, None),
    ]
    permissions = "SELECT space_id, account, permission FROM collaboration_permissions ORDER BY 2"
    assert await bare_world.replica(permissions) == [("7", "bob", "comment"), ("7", "dave", "admin")]


async def test_a_primary_with_documents_by_name_only_is_copied(bare_world: World) -> None:
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_NAME)
    await bare_world.primary.execute(
        "INSERT INTO collaboration_documents (id, owner, permlink, document_name) "
        "VALUES (31, 'bob', 'draft', 'A draft');"
        "INSERT INTO collaboration_permissions (owner, permlink, account, permission_type, can_read, can_edit) VALUES "
        "('bob', 'draft', 'alice', 'editable', true, true), "
        "('bob', 'draft', 'carol', 'readonly', true, false), ('bob', 'draft', 'dave', 'postable', true, true), "
        "('bob', 'draft', 'erin', 'readonly', false, false), ('bob', 'draft', 'frank', 'editable', true, false)"
    )

    assert await bare_world.sync() is Outcome.DONE

    assert await bare_world.replica("SELECT space_id, title, creator, number FROM collaboration_documents") == [
        ("bob/draft", "A draft", "bob", 31)
    ]
    permissions = "SELECT account, permission FROM collaboration_permissions ORDER BY account"
    assert await bare_world.replica(permissions) == [
        ("alice", "edit"),
        ("carol", "read"),
        ("dave", "edit"),
        ("frank", "read"),
    ]


async def test_columns_that_are_missing_take_their_defaults_and_unknown_ones_are_ignored(bare_world: World) -> None:
    await bare_world.primary.execute(DOCUMENTS_BY_ID)
    await bare_world.primary.execute(
        "CREATE TABLE posts (author text, permlink text, type text, mood text, votes numeric);"
        "INSERT INTO posts VALUES ('alice', 'bare', '360', 'good', 3)"
    )
    bare_world.absent = frozenset({"posts.hidden", "posts.flagged"})

    assert await bare_world.sync() is Outcome.DONE

    assert await bare_world.replica("SELECT type, votes, hidden, license, tags FROM posts") == [
        ("360", 3, False, None, [])
    ]


async def test_columns_that_appear_later_are_copied(bare_world: World) -> None:
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.add_posts(1)
    await bare_world.sync()

    await bare_world.primary.execute("ALTER TABLE posts ADD tags text[]; UPDATE posts SET tags = '{vr,art}'")
    await bare_world.sync()

    assert await bare_world.replica("SELECT tags FROM posts") == [(["vr", "art"],)]


async def test_a_table_that_is_missing_is_named_and_the_others_are_copied(bare_world: World) -> None:
    await bare_world.primary.execute(POSTS)
    await bare_world.add_posts(3)

    assert await bare_world.sync() is Outcome.FAILED

    assert await bare_world.replica("SELECT count(*) FROM posts") == [(3,)]
    assert "has no table collaboration_documents" in (await bare_world.error_of("collaboration_documents") or "")
    assert await bare_world.error_of("presence_permissions") is None  # not every primary has it


async def test_a_role_given_twice_counts_as_the_stronger(world: World) -> None:
    await world.primary.execute(
        "INSERT INTO presence_permissions VALUES ('post', 'alice/my-360-photo', 'carol', 'access'), "
        "('post', 'alice/my-360-photo', 'carol', 'admin'), ('post', 'alice/my-360-photo', 'carol', 'moderate')"
    )
    for _ in range(2):
        await world.sync()

    roles = "SELECT permission FROM presence_permissions WHERE space_id = 'alice/my-360-photo' AND account = 'carol'"
    assert await world.replica(roles) == [("admin",)]
    assert await world.epoch("post:alice/my-360-photo") == 0


async def test_a_cycle_over_an_unchanged_primary_writes_no_row(world: World) -> None:
    await world.sync()
    versions = "SELECT xmin::text FROM posts UNION ALL SELECT xmin::text FROM collaboration_documents"
    before = sorted(await world.replica(versions))

    await world.sync()

    assert sorted(await world.replica(versions)) == before


async def test_odd_rows_are_skipped_and_reported_and_stop_nothing(bare_world: World) -> None:
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.primary.execute("ALTER TABLE posts ALTER author TYPE text, ALTER permlink TYPE text")
    await bare_world.primary.execute("ALTER TABLE posts ADD moderated_at timestamptz, ADD tags json, ADD license text")
    await bare_world.primary.execute(
        """INSERT INTO posts (author, permlink, type, rating, moderated_at, license, tags) VALUES
        ('alice', 'no-type', null, 0, null, null, null),
        ('Alice', 'no-such-account', '360', 0, null, null, null),
        ('alice', 'Kein Permlink/..', '360', 0, null, null, null),
        ('alice', 'odd', '360', 'NaN', 'infinity', E'\\u202e\\u0007\U0001f600', '["a", 1, null, {"b": []}]'),
        ('alice', 'old', '360', 1e200, '4713-01-01 BC', repeat('x', 100000), '"\\u0000"'),
        ('alice', 'plain', '360', 4.5, now(), 'CC0', '["vr"]')"""
    )
    await bare_world.primary.execute(
        "INSERT INTO collaboration_documents VALUES (1, repeat('long ', 20000), null, 'alice', true, false, now()), "
        "(2, 'nobody''s', null, null, true, false, now()), (-3, 'negative', null, 'alice', true, false, now());"
        "INSERT INTO collaboration_permissions VALUES "
        "(1, 1, 'bob', 'own-it'), (2, 1, 'dave', 'read'), (3, 1, '', 'read')"
    )

    assert await bare_world.sync() is Outcome.DONE

    assert await bare_world.replica("SELECT permlink FROM posts ORDER BY 1") == [("no-type",), ("odd",), ("plain",)]
    assert await bare_world.replica("SELECT space_id, length(title) FROM collaboration_documents") == [("1", 300)]
    assert await bare_world.replica("SELECT account FROM collaboration_permissions") == [("dave",)]


async def test_a_table_larger_than_many_pages_is_copied_in_any_collation(bare_world: World) -> None:
    await bare_world.primary.execute(
        "CREATE COLLATION german (provider = icu, locale = 'de-u-kn-true');"
        "CREATE TABLE posts (author text COLLATE german, permlink text COLLATE german, type text, "
        "hidden boolean DEFAULT false, flagged boolean DEFAULT false, PRIMARY KEY (author, permlink));"
        + DOCUMENTS_BY_ID
    )
    await bare_world.primary.execute(
        "INSERT INTO posts SELECT 'mass', prefix || n, 'blog' FROM generate_series(1, 700) n, "
        "unnest('{a,a-,b,z-}'::text[]) prefix"
    )

    assert await bare_world.sync() is Outcome.DONE
    await bare_world.primary.execute("DELETE FROM posts WHERE permlink IN ('a17', 'z-400', 'b700')")
    assert await bare_world.sync() is Outcome.DONE

    keys = 'SELECT permlink FROM posts ORDER BY permlink COLLATE "C"'
    assert await bare_world.replica(keys) == await bare_world.original(keys)
