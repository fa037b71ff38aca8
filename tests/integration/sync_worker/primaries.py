"""Primaries of each shape, with rows that are open, and rows that each column about access closes."""

from dataclasses import dataclass

from deploy.local.primary.seed import seed
from tests.integration.sync_worker.world import (
    DOCUMENTS_BY_ID,
    DOCUMENTS_BY_NAME,
    POSTS,
    PRESENCE_PERMISSIONS,
    World,
)

ROWS = """
INSERT INTO posts (author, permlink, type, hidden, flagged) VALUES ('alice', 'open', '360', false, false),
    ('alice', 'second', '360', false, false), ('alice', 'hidden', '360', true, false),
    ('alice', 'flagged', '360', false, true);
INSERT INTO presence_permissions (space_type, space_id, user_account, permission) VALUES
    ('post', 'alice/hidden', 'bob', 'access'), ('post', 'alice/open', 'carol', 'moderate'),
    ('community', 'hive-123456', 'dave', 'admin');
"""
ROWS_BY_ID = """
INSERT INTO collaboration_documents (id, title, creator, is_public, is_deleted, comment_permissions) VALUES
    (1, 'Open', 'alice', true, false, 'all'), (2, 'Private', 'alice', false, false, 'all'),
    (3, 'Deleted', 'bob', true, true, 'all'), (4, 'Quiet', 'bob', true, false, 'creator_only');
INSERT INTO collaboration_permissions (document_id, user_account, permission) VALUES
    (2, 'bob', 'read'), (2, 'carol', 'edit'), (4, 'dave', 'comment');
"""
ROWS_BY_NAME = """
INSERT INTO collaboration_documents (id, owner, permlink, document_name, is_public) VALUES
    (11, 'alice', 'open', 'Open', true), (12, 'alice', 'private', 'Private', false), (13, 'bob', 'b', 'B', false);
INSERT INTO collaboration_permissions (owner, permlink, account, permission_type, can_read, can_edit) VALUES
    ('alice', 'private', 'bob', 'readonly', true, false), ('alice', 'private', 'carol', 'editable', false, false),
    ('alice', 'private', 'dave', 'editable', true, true);
SELECT setval('collaboration_documents_id_seq', 13);
"""


@dataclass(frozen=True)
class Primary:
    """A shape: its tables and rows, and the columns that decide about access or name whom it is about."""

    script: str
    columns: dict[str, tuple[str, ...]]


_POSTS = {"posts": ("hidden", "flagged"), "presence_permissions": ("permission",)}
_WHO_MAY = ("comment_permissions", "edit_permissions")
BY_ID = Primary(
    ";".join((POSTS, PRESENCE_PERMISSIONS, DOCUMENTS_BY_ID, ROWS, ROWS_BY_ID)),
    {
        **_POSTS,
        "collaboration_documents": ("is_public", "is_deleted", "creator", *_WHO_MAY),
        "collaboration_permissions": ("permission", "document_id"),
    },
)
BY_NAME = Primary(
    ";".join((POSTS, PRESENCE_PERMISSIONS, DOCUMENTS_BY_NAME, ROWS, ROWS_BY_NAME)),
    {
        **_POSTS,
        "collaboration_documents": ("is_public", "owner", "permlink"),
        "collaboration_permissions": ("permission_type", "can_read", "can_edit", "account"),
    },
)
MIXED = Primary(
    "",  # the demo's
    {
        **_POSTS,
        "collaboration_documents": ("is_public", "is_deleted", "creator", "owner", *_WHO_MAY),
        "collaboration_permissions": ("permission", "permission_type", "can_read", "can_edit", "document_id", "owner"),
    },
)
PRIMARIES = {"by id": BY_ID, "by name": BY_NAME, "mixed": MIXED}


async def fill(world: World, primary: Primary) -> None:
    if primary.script:
        await world.primary.execute(primary.script)
    else:
        await seed(world.primary_url)
