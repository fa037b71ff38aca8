"""The primary's documents and who may do what with them, by id or by owner and permlink.

A permission given by document id to a document that has an owner and permlink opens nothing (the
space is named by the latter). No known deployment has such rows.
"""

import re
from collections.abc import Mapping
from typing import Any

from libs.common.contracts.content import (
    DocumentChanged,
    DocumentDeleted,
    document_changed,
    document_deleted,
    permission_changed,
)
from libs.common.db.models.content import CollaborationDocument, CollaborationPermission
from libs.common.spaces import SpaceKey
from services.sync_worker.tables.table import Key, Record, Row, Shape, Table, permission_change, require_space
from services.sync_worker.tables.values import BadRow, Raw, account, flag, moment, text, whole

LONGEST_TITLE = 300  # characters; the primary's own limit is 255
WHO_MAY = ("creator_only", "invited_only", "all")  # from the narrowest
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
        "is_deleted": flag(raw, "is_deleted", null=True),
        **{name: _who_may(raw, name) for name in ("comment_permissions", "edit_permissions")},
        **{name: moment(raw.get(name)) for name in ("created_at", "last_activity", "updated_at")},
    }


def _who_may(raw: Raw, column: str) -> str:
    """Returns who may do it: only the creator by an unknown value, anybody where the primary has no such rule."""
    if column not in raw:
        return "all"
    return raw[column] if raw[column] in WHO_MAY else "creator_only"


def _document_by_id(raw: Raw) -> Record:
    return {**_document(str(raw["id"]), account(raw, "creator"), raw), "number": None}


def _document_by_name(raw: Raw) -> Record:
    document = _document(f"{raw['owner']}/{raw['permlink']}", account(raw, "owner"), raw)
    content = next((raw[name] for name in ("document_data", "content") if raw.get(name) is not None), None)
    return {**document, "content": text(content), "number": whole(raw.get("id"))}


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
    """Returns `read`, `edit` or None: the type, lowered by the two flags, of which null is no."""
    kind = raw.get("permission_type")
    if kind not in (None, "readonly", "editable", "postable"):
        raise BadRow(f"unknown permission_type {str(kind)[:40]!r}")
    may_edit = flag(raw, "can_edit", absent=kind in ("editable", "postable"))
    if not flag(raw, "can_read", absent=kind is not None or may_edit):
        return None
    return "edit" if may_edit and kind != "readonly" else "read"


def _by_id(key: Key) -> Key | None:
    return key if _DIGITS.fullmatch(key[0]) else None


def _by_name(key: Key) -> Key | None:
    owner, slash, permlink = key[0].partition("/")
    return (owner, permlink, *key[1:]) if slash else None


def _document_openness(row: Mapping[str, Any]) -> tuple[int, ...]:
    seen_by = 0 if row["is_deleted"] else 2 if row["is_public"] else 1
    return (seen_by, WHO_MAY.index(row["comment_permissions"]), WHO_MAY.index(row["edit_permissions"]))


def _change(_: Key, old: Row | None, new: Row | None) -> DocumentChanged | DocumentDeleted | None:
    """Returns how a document is now, unless it is as it was; who only looked at it has not changed it.

    One that was made private and deleted meanwhile was never everybody's, as far as anybody is told.
    """
    if new is not None and _is_there(new):
        return None if old == new else DocumentChanged(new["title"], new["updated_at"], public=new["is_public"])
    if old is None or not _is_there(old):
        return None
    last = new or old
    public = old["is_public"] and last["is_public"]
    return DocumentDeleted(last["title"], last["creator"], public, last["updated_at"])


def _is_there(row: Row | None) -> bool:
    return row is not None and not row["is_deleted"]


_WHO_MAY_COLUMNS = ("comment_permissions", "edit_permissions")
_DOCUMENT_COLUMNS = (
    *("title", "document_name", "content", "is_public", "is_deleted", *_WHO_MAY_COLUMNS),
    *("created_at", "last_activity", "updated_at"),
)

DOCUMENTS = Table(
    "collaboration_documents",
    CollaborationDocument,
    ("space_id",),
    (
        Shape(
            "by id",
            ("id",),
            ("creator", *_DOCUMENT_COLUMNS),
            _document_by_id,
            (("id",),),
            _by_id,
            access=("is_public", "is_deleted", *_WHO_MAY_COLUMNS),
            marks=("creator",),
            unless=("owner", "permlink"),
        ),
        Shape(
            "by name",
            ("owner", "permlink"),
            ("id", "document_data", *_DOCUMENT_COLUMNS),
            _document_by_name,
            (("owner", "permlink"),),
            _by_name,
            access=("is_public",),
            later_access=("is_deleted", *_WHO_MAY_COLUMNS),
            yjs="document_data",
        ),
    ),
    watched=("is_public", "is_deleted", "creator", *_WHO_MAY_COLUMNS),
    openness=_document_openness,
    space_of=lambda key: SpaceKey("document", key[0]),
    events=(document_changed, document_deleted),
    told=("title", "content", "updated_at", "is_public", "is_deleted", "creator", *_WHO_MAY_COLUMNS),
    change_of=_change,
    lets_in=("creator",),
    closed={"is_deleted": True},
    large="content",
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
            (("document_id",), ("user_account",)),
            _by_id,
            access=("permission",),
            unless=("owner", "permlink", "account"),
        ),
        Shape(
            "by name",
            ("owner", "permlink", "account"),
            ("permission_type", "can_read", "can_edit"),
            _permission_by_name,
            (("owner", "permlink"), ("account",)),
            _by_name,
            access=("permission_type", "can_read", "can_edit"),
        ),
    ),
    watched=("permission",),
    openness=lambda row: (DOCUMENT_RANKS[row["permission"]],),
    space_of=lambda key: SpaceKey("document", key[0]),
    events=(permission_changed,),
    told=("permission",),
    change_of=permission_change("collaboration_permissions"),
)
