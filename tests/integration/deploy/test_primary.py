"""The demo primary has the real one's shapes and the fixed points that people and tests count on."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from deploy.local.primary import Shape, seed
from deploy.local.primary.content import posts

type Connection = asyncpg.Connection[Any]


@pytest.fixture
async def primary(primary_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(primary_url)
    yield connection
    await connection.close()


async def test_the_fixed_points_are_there(primary: Connection) -> None:
    rows = await primary.fetch("SELECT author || '/' || permlink AS id, type, hidden FROM posts")
    found = {row["id"]: (row["type"], row["hidden"]) for row in rows}
    assert found["alice/my-360-photo"] == ("360", False)
    assert found["bob/sculpture-hall"] == ("art", False)
    assert found["carol/not-for-you"][1] is True
    documents = await primary.fetch("SELECT id, creator, is_public FROM collaboration_documents WHERE id IN (123, 124)")
    assert [tuple(row) for row in documents] == [(123, "bob", False), (124, "bob", True)]
    assert await primary.fetch(
        "SELECT 1 FROM collaboration_documents WHERE (owner, permlink) = ('bob', 'shared-draft')"
    )


async def test_permissions_come_in_both_shapes(primary: Connection) -> None:
    by_id = await primary.fetch(
        "SELECT user_account, permission FROM collaboration_permissions WHERE document_id = 123"
    )
    assert [tuple(row) for row in by_id] == [("alice", "comment")]
    by_name = await primary.fetch(
        "SELECT account, permission_type, can_edit FROM collaboration_permissions "
        "WHERE (owner, permlink) = ('bob', 'shared-draft') ORDER BY account"
    )
    assert [tuple(row) for row in by_name] == [("alice", "editable", True), ("dave", "readonly", False)]
    assert await primary.fetchval("SELECT count(*) FROM presence_permissions") >= 3


async def test_seeding_again_changes_nothing_and_keeps_a_developers_changes(
    primary: Connection, primary_url: str
) -> None:
    await primary.execute("UPDATE posts SET votes = 7 WHERE author = 'alice' AND permlink = 'my-360-photo'")
    assert await seed(primary_url) == len(posts())
    assert await primary.fetchval("SELECT votes FROM posts WHERE permlink = 'my-360-photo'") == 7
    counts = [
        await primary.fetchval(f"SELECT count(*) FROM {table}")
        for table in ("collaboration_documents", "collaboration_permissions", "presence_permissions")
    ]
    assert counts == [7, 5, 4]


async def test_a_primary_that_was_made_in_another_shape_is_left_as_it_is_and_named(
    primary: Connection, primary_url: str
) -> None:
    with pytest.raises(ValueError, match="of the shape mixed, not by_id"):
        await seed(primary_url, Shape.BY_ID)
    assert await primary.fetchval("SELECT count(*) FROM collaboration_documents") == 7


async def test_a_shape_that_is_none_is_refused(primary_url: str) -> None:
    with pytest.raises(ValueError, match="by_number"):
        await seed(primary_url, "by_number")
