"""Fills the demo primary. What is there already is left as it is, so a developer's changes outlive a restart."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local.primary.content import FIRST, Post, posts
from deploy.local.primary.yjs_state import yjs_state

SCHEMA = Path(__file__).with_name("schema")

POST_COLUMNS = (
    *("author", "permlink", "block", "votes", "voteweight", "promote", "paid", "type", "rating", "ratings", "raters"),
    *("nsfw", "sensitive", "hidden", "featured", "flagged", "flag_reason", "moderated_by", "moderated_at"),
    *("license", "tags"),
)
DOCUMENTS_BY_ID = (
    # id, title, content, creator, is_public, is_deleted
    (123, "Opening night: running order", "# Running order\n\n1. Doors\n2. Welcome\n3. Walk", "bob", False, False),
    (124, "House rules", "Be kind. Mute when you are not talking. No recording without asking.", "bob", True, False),
    (125, "Lighting plan", "Warm from the left, nothing from above.", "alice", False, False),
    (126, "Thrown away", "An old plan.", "alice", True, True),
)
DOCUMENTS_BY_NAME = (
    # owner, permlink, document_name, is_public, paragraphs
    ("bob", "shared-draft", "A shared draft", False, ["Who hangs what, and where.", "Alice: the north wall."]),
    ("alice", "open-notes", "Open notes", True, ["Everybody may read this.", "Write to alice to change it."]),
    ("carol", "private-journal", "Private journal", False, ["Nobody else reads this."]),
)
PERMISSIONS_BY_ID = ((123, "alice", "comment", "bob"), (125, "bob", "edit", "alice"), (125, "dave", "read", "alice"))
PERMISSIONS_BY_NAME = (
    # owner, permlink, account, permission_type, can_read, can_edit, granted_by
    ("bob", "shared-draft", "alice", "editable", True, True, "bob"),
    ("bob", "shared-draft", "dave", "readonly", True, False, "bob"),
)
PRESENCE_PERMISSIONS = (
    ("post", "bob/sculpture-hall", "alice", "moderate"),
    ("post", "alice/my-360-photo", "bob", "moderate"),
    ("post", "carol/not-for-you", "dave", "access"),
    ("community", "hive-123456", "dave", "admin"),
)
EVENTS = (
    # event_code, title, host_account, co_hosts, is_public, password_protected, event_password, max_attendees, status
    ("open-studio", "Open studio", "alice", ["bob"], True, False, None, None, "live"),
    ("board-meeting", "Board meeting", "bob", ["alice"], False, True, "quarterly numbers", 12, "scheduled"),
)


class Shape(StrEnum):
    """Which documents the demo primary has (`PRESENCE_DEMO_PRIMARY_SHAPE`): those of both deployments, or of one."""

    MIXED = "mixed"
    BY_ID = "by_id"
    BY_NAME = "by_name"


TIMES = ("updated_at", "created_at")


def _times(day: int) -> tuple[Any, Any]:
    created = FIRST + timedelta(days=day)
    return created + timedelta(hours=5), created


async def seed(url: str, shape: str = Shape.MIXED) -> int:
    """Makes the tables and rows that are missing; returns how many posts there are now.

    Raises asyncpg's errors, and ValueError for a `shape` that is none or a primary that was made in another.
    """
    documents = Shape(shape)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await _make_tables(connection, documents)
            await _insert(connection, "posts", POST_COLUMNS, [_post_row(post) for post in posts()])
            if documents is not Shape.BY_NAME:
                await _seed_documents_by_id(connection)
            if documents is not Shape.BY_ID:
                await _seed_documents_by_name(connection)
            await _insert(
                connection,
                "presence_permissions",
                ("space_type", "space_id", "user_account", "permission"),
                PRESENCE_PERMISSIONS,
            )
            await _seed_events(connection)
        return int(await connection.fetchval("SELECT count(*) FROM posts"))
    finally:
        await connection.close()


async def _make_tables(connection: "asyncpg.Connection[Any]", shape: Shape) -> None:
    for file in ("content.sql", f"documents_{shape}.sql"):
        await connection.execute((SCHEMA / file).read_text())
    by_id, by_name = await connection.fetchrow(
        "SELECT bool_or(column_name = 'creator'), bool_or(column_name = 'owner') FROM information_schema.columns "
        "WHERE table_name = 'collaboration_documents' AND table_schema = current_schema()"
    ) or (False, False)
    present = Shape.MIXED if by_id and by_name else Shape.BY_ID if by_id else Shape.BY_NAME
    if present is not shape:
        raise ValueError(
            f"The demo primary's documents are of the shape {present}, not {shape}: drop its database first."
        )


async def _seed_documents_by_id(connection: "asyncpg.Connection[Any]") -> None:
    columns = ("id", "title", "content", "creator", "is_public", "is_deleted", *TIMES)
    rows = [(*row, *_times(row[0])) for row in DOCUMENTS_BY_ID]
    await _insert(connection, "collaboration_documents", columns, rows)
    # Ids of the other shape are taken from the sequence: keep them clear of the fixed ones.
    await connection.execute(
        "SELECT setval('collaboration_documents_id_seq', greatest((SELECT max(id) FROM collaboration_documents), 1000))"
    )
    names = ("document_id", "user_account", "permission", "granted_by")
    await _insert(connection, "collaboration_permissions", names, PERMISSIONS_BY_ID)


async def _seed_documents_by_name(connection: "asyncpg.Connection[Any]") -> None:
    columns = ("owner", "permlink", "document_name", "is_public", "document_data", "last_activity", *TIMES)
    rows = [
        (*row, yjs_state(paragraphs), _times(day)[0], *_times(day))
        for day, (*row, paragraphs) in enumerate(DOCUMENTS_BY_NAME)
    ]
    await _insert(connection, "collaboration_documents", columns, rows)
    names = ("owner", "permlink", "account", "permission_type", "can_read", "can_edit", "granted_by")
    await _insert(connection, "collaboration_permissions", names, PERMISSIONS_BY_NAME)


async def _seed_events(connection: "asyncpg.Connection[Any]") -> None:
    columns = (
        *("event_code", "title", "host_account", "co_hosts", "is_public", "password_protected", "event_password"),
        *("max_attendees", "status", "scheduled_start", *TIMES),
    )
    start, *times = (moment.replace(tzinfo=None) for moment in (FIRST, *_times(1)))
    await _insert(connection, "presence_events", columns, [(*row, start, *times) for row in EVENTS])


async def _insert(
    connection: "asyncpg.Connection[Any]", table: str, columns: tuple[str, ...], rows: "list[Any] | tuple[Any, ...]"
) -> None:
    """Insert the rows that are not there yet. Table and columns are constants of this module."""
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) ON CONFLICT DO NOTHING"  # noqa: S608
    await connection.executemany(statement, rows)


def _post_row(post: Post) -> tuple[Any, ...]:
    """A post's values in the order of POST_COLUMNS."""
    values: dict[str, Any] = {
        name: getattr(post, name)
        for name in POST_COLUMNS
        if name not in ("raters", "ratings", "flagged", "moderated_at", "tags")
    }
    values |= {
        "raters": ",".join(account for account, _ in post.raters) or None,
        "ratings": len(post.raters),
        "flagged": post.flag_reason is not None,
        "moderated_at": post.created + timedelta(days=1) if post.moderated_by else None,
        "tags": list(post.tags),
    }
    return tuple(values[name] for name in POST_COLUMNS)
