"""Declares the replicated tables: the shapes of their rows at the primary, and how a row becomes our record.

The primary's deployments differ. Documents and permissions come named by id or by owner and permlink,
perhaps both in one table; columns are missing here and there. A `Shape` says how rows of one kind are
named and read; a pass walks through every shape that the primary's columns allow.

A permission given by document id to a document that has an owner and permlink opens nothing (the
space is named by the latter). No known deployment has such rows.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from libs.common.db.models.base import Base
from libs.common.db.models.content import CollaborationDocument, CollaborationPermission, Post, PresencePermission
from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey
from services.sync_worker.values import INTEGER, BadRow, Raw, account, flag, moment, real, text, whole, words

type Key = tuple[str, ...]
type Record = dict[str, Any]  # the replica's columns, as they shall be

LONGEST_TITLE = 300  # characters; the primary's own limit is 255
LONGEST_WORD = 200
MOST_TAGS = 50
DOCUMENT_RANKS = {"read": 1, "comment": 2, "edit": 3, "admin": 4}
PRESENCE_RANKS = {"access": 1, "moderate": 2, "admin": 3}
_DIGITS = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Shape:
    """One way in which a table's rows are named at the primary.

    `key` names the columns that identify a row; rows where one is null are not of this shape, nor are
    rows where all of `unless` are set. `read` gives the replica's record, or None for a row that grants
    nothing; it raises `BadRow`. `locate` turns a replica's key into `key`'s values, or None if the
    replica's row did not come from this shape.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    read: Callable[[Raw], Record | None]
    locate: Callable[[Key], Key | None]
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A replicated table. `key` are the replica's key columns, `watched` those that decide about access.

    `openness` orders rows by how much they let people do; None stands for no row.
    `space_of` names the space that a row is about, by its key.
    """

    name: str
    model: type[Base]
    key: tuple[str, ...]
    shapes: tuple[Shape, ...]
    watched: tuple[str, ...]
    openness: Callable[[Mapping[str, Any]], int]
    space_of: Callable[[Key], SpaceKey]
    optional: bool = False  # a primary without this table is in order
    page: int = 500  # rows

    def key_of(self, row: Mapping[str, Any]) -> Key:
        return tuple(row[column] for column in self.key)

    def shapes_in(self, columns: Iterable[str]) -> tuple[Shape, ...]:
        """Returns the shapes that a table with these columns can hold. Raises `MissingTable`."""
        present = frozenset(columns)
        shapes = tuple(shape for shape in self.shapes if present.issuperset(shape.key))
        if not shapes and (present or not self.optional):
            needed = " or ".join(f"({', '.join(shape.key)})" for shape in self.shapes)
            raise MissingTable(f"the primary has no table {self.name} with {needed}")
        return shapes

    def read(self, shape: Shape, rows: Sequence[Raw]) -> Record | None:
        """Returns, of the rows that share one key, the record that opens most. Raises `BadRow` if none can be read."""
        records, bad = [], None
        for row in rows:
            try:
                records.append(shape.read(row))
            except BadRow as error:
                bad = error
        granting = [record for record in records if record is not None]
        if granting:
            return max(granting, key=self._strength) if len(granting) > 1 else granting[0]
        if bad:
            raise bad
        return None

    def _strength(self, record: Record) -> tuple[int, str]:
        return self.openness(record), digest(record)


class MissingTable(Exception):
    """The primary lacks what cannot be done without."""


def digest(record: Record) -> str:
    """Returns the `row_hash`: equal for equal records, whatever the primary's types."""
    encoded = msgspec.json.encode(record, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def _post(raw: Raw) -> Record:
    author, permlink = raw["author"], raw["permlink"]
    _require_space("post", f"{author}/{permlink}")
    if not raw.get("type"):
        raise BadRow("no type")
    return {
        "author": author,
        "permlink": permlink,
        "type": text(raw["type"], LONGEST_WORD),
        "block": whole(raw.get("block")),
        **{name: whole(raw.get(name)) or 0 for name in ("votes", "voteweight", "promote")},
        "rating": real(raw.get("rating")) or 0.0,
        "ratings": whole(raw.get("ratings"), INTEGER) or 0,
        **{name: flag(raw, name) for name in ("paid", "nsfw", "sensitive", "hidden", "featured", "flagged")},
        **{name: text(raw.get(name), LONGEST_WORD) for name in ("flag_reason", "moderated_by", "remix_cid", "license")},
        "moderated_at": moment(raw.get("moderated_at")),
        "tags": words(raw.get("tags"), LONGEST_WORD, MOST_TAGS),
    }


def _document(space_id: str, creator: str, raw: Raw) -> Record:
    _require_space("document", space_id)
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
    _require_space("document", space_id)
    return {"space_id": space_id, "account": account(raw, "user_account"), "permission": permission}


def _permission_by_name(raw: Raw) -> Record | None:
    space_id = f"{raw['owner']}/{raw['permlink']}"
    _require_space("document", space_id)
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


def _presence_permission(raw: Raw) -> Record:
    space_type, space_id, permission = str(raw["space_type"]), str(raw["space_id"]), raw.get("permission")
    _require_space(space_type, space_id)
    if permission not in PRESENCE_RANKS:
        raise BadRow(f"unknown permission {str(permission)[:40]!r}")
    who = account(raw, "user_account")
    return {"space_type": space_type, "space_id": space_id, "account": who, "permission": permission}


def _require_space(space_type: str, space_id: str) -> None:
    try:
        SpaceKey.parse(space_type, space_id)
    except PresenceError as error:
        raise BadRow(f"no {space_type[:20]} space can be called {space_id[:80]!r}") from error


def _by_id(key: Key) -> Key | None:
    return key if _DIGITS.fullmatch(key[0]) else None


def _by_name(key: Key) -> Key | None:
    owner, slash, permlink = key[0].partition("/")
    return (owner, permlink, *key[1:]) if slash else None


def _document_openness(row: Mapping[str, Any]) -> int:
    return 0 if row["is_deleted"] else 2 if row["is_public"] else 1


_DOCUMENT_COLUMNS = ("title", "document_name", "content", "is_public", "is_deleted")
_TIMES = ("created_at", "last_activity", "updated_at")

POSTS = Table(
    "posts",
    Post,
    ("author", "permlink"),
    (
        Shape(
            "by name",
            ("author", "permlink"),
            (
                *("type", "block", "votes", "voteweight", "promote", "paid", "rating", "ratings", "nsfw", "sensitive"),
                *("hidden", "featured", "flagged", "flag_reason", "moderated_by", "moderated_at"),
                *("remix_cid", "license", "tags"),
            ),
            _post,
            lambda key: key,
        ),
    ),
    watched=("hidden", "flagged"),
    openness=lambda row: 0 if row["hidden"] or row["flagged"] else 1,
    space_of=lambda key: SpaceKey("post", "/".join(key)),
)
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
PRESENCE_PERMISSIONS = Table(
    "presence_permissions",
    PresencePermission,
    ("space_type", "space_id", "account"),
    (
        Shape(
            "by space",
            ("space_type", "space_id", "user_account"),
            ("permission",),
            _presence_permission,
            lambda key: key,
        ),
    ),
    watched=("permission",),
    openness=lambda row: PRESENCE_RANKS[row["permission"]],
    space_of=lambda key: SpaceKey(key[0], key[1]),
    optional=True,
)

TABLES = (POSTS, DOCUMENTS, PERMISSIONS, PRESENCE_PERMISSIONS)
"""In the order of a cycle: content before those who may enter it."""
