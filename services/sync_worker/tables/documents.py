"""The primary's documents and who may do what with them, by id or by owner and permlink.

A permission given by document id to a document that has an owner and permlink opens nothing (the
space is named by the latter). No known deployment has such rows.
"""

import re
from collections.abc import Mapping
from typing import Any

from libs.common.db.models.content import CollaborationDocument, CollaborationPermission
from libs.common.spaces import SpaceKey
from services.sync_worker.tables.table import Key, Record, Shape, Table, require_space
from services.sync_worker.tables.values import BadRow, Raw, account, flag, moment, text

LONGEST_TITLE = 300  # characters; the primary's own limit is 255
DOCUMENT_RANKS = {"read": 1, "comment": 2, "edit": 3, "admin": 4}
_DIGITS = re.compile(r"[1-9][0-9]{0,17}")


def _document(space_id: str, creator: str, raw: Raw) -> Record:
    require_space("document", space_id)
    return {
        "space_id": space_id,
        "title": text(raw.get("document_name") or raw.get("title") or "", LONGEST_TITLE),
        "content": text(raw.get("content")),
        "creator": creator,
        "is_public": flag(raw, "is_public"),
        "is_deleted": flag(raw, "is_deleted"),
        **{name: moment(raw.get(name)) for name in ("created_at", "last_activity", "updated_at")},
    }


def _document_by_id(raw: Raw) -> Record:
    return _document(str(raw["id"]), account(raw, "creator", "owner"), raw)


def _document_by_name(raw: Raw) -> Record:
    return _document(f"{raw['owner']}/{raw['permlink']}", account(raw, "owner"), raw)


def _permission_by_id(raw: Raw) -> Record:
    permission = raw.get("permission")
    if permission not in DOCUMENT_RANKS:
        raise BadRow(f"unknown permission {str(permission)[:40]!r}")
    space_id = str(raw["document_id"])
    require_space("document", space_id)
    return {"space_id": space_id, "account": account(raw, "user_account"), "permission": permission}


def _permission_by_name(raw: Raw) -> Record | None:
    space_id = f"{raw['owner']}/{raw['permlink']}"
    require_space("document", space_id)
    permission = _named_permission(raw)
    return permission and {"space_id": space_id, "account": account(raw, "account"), "permission": permission}


def _named_permission(raw: Raw) -> Any:
    """Returns `read`, `edit` or None: the type, lowered by the two flags."""
    kind = raw.get("permission_type")
    if kind not in (None, "readonly", "editable", "postable"):
        raise BadRow(f"unknown permission_type {str(kind)[:40]!r}")
    may_edit = flag(raw, "can_edit", default=kind in ("editable", "postable"))
    may_read = flag(raw, "can_read", default=kind is not None) or may_edit
    if may_edit and kind != "readonly":
        return "edit"
    return "read" if may_read else None


def _by_id(key: Key) -> Key | None:
    return key if _DIGITS.fullmatch(key[0]) else None


def _by_name(key: Key) -> Key | None:
    owner, slash, permlink = key[0].partition("/")
    return (owner, permlink, *key[1:]) if slash else None


def _document_openness(row: Mapping[str, Any]) -> int:
    return 0 if row["is_deleted"] else 2 if row["is_public"] else 1


_DOCUMENT_COLUMNS = ("title", "document_name", "content", "is_public", "is_deleted")
_TIMES = ("created_at", "last_activity", "updated_at")

DOCUMENTS = Table(
    "collaboration_documents",
    CollaborationDocument,
    ("space_id",),
    (
        Shape(
            "by id",
            ("id",),
            ("creator", "owner", *_DOCUMENT_COLUMNS, *_TIMES),
            _document_by_id,
            _by_id,
            unless=("owner", "permlink"),
        ),
        Shape("by name", ("owner", "permlink"), (*_DOCUMENT_COLUMNS, *_TIMES), _document_by_name, _by_name),
    ),
    watched=("is_public", "is_deleted", "creator"),
    openness=_document_openness,
    space_of=lambda key: SpaceKey("document", key[0]),
    page=100,  # they carry their content
)
PERMISSIONS = Table(
    "collaboration_permissions",
    CollaborationPermission,
    ("space_id", "account"),
    (
        Shape(
            "by id",
            ("document_id", "user_account"),
            ("permission",),
            _permission_by_id,
            _by_id,
            unless=("owner", "permlink", "account"),
        ),
        Shape(
            "by name",
            ("owner", "permlink", "account"),
            ("permission_type", "can_read", "can_edit"),
            _permission_by_name,
            _by_name,
        ),
    ),
    watched=("permission",),
    openness=lambda row: DOCUMENT_RANKS[row["permission"]],
    space_of=lambda key: SpaceKey("document", key[0]),
)
