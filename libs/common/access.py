"""The one policy: may this identity do this here?

`look` reads everything that matters in one query; `Standing.require` answers. What one may not see
is `not_found`, never `forbidden`, so that nothing tells whether it exists. The table of who may do
what is the contract's (docs/frontend.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.errors import BANNED, FORBIDDEN, MUTED, NOT_FOUND, PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey


class Role(IntEnum):
    """In order of power. An anonymous reader is a guest."""

    GUEST = 0
    VISITOR = 1
    MEMBER = 2
    MODERATOR = 3
    OWNER = 4
    OPERATOR = 5

    @property
    def label(self) -> str:
        return self.name.lower()


class Action(StrEnum):
    ENTER = "enter"
    CHAT = "chat"
    MODERATE = "moderate"
    CONFIGURE = "configure"
    SUBSCRIBE = "subscribe"  # webhooks
    COMMENT = "comment"  # on a document
    RESOLVE = "resolve"  # another's comment


_MAY_EDIT = ("edit", "admin")
_MAY_COMMENT = ("comment", *_MAY_EDIT)

DEFAULT_SETTINGS: Mapping[str, Any] = {
    "chat_enabled": True,
    "voice_enabled": True,
    "guests_allowed": True,
    "max_users": 1000,
    "slow_mode_seconds": 0,
    "audio": {"mode": "ambient"},
    "spawn": {"x": 0, "y": 0, "z": 0},
    "settings": {},
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How one identity stands in one space, at the moment of the query."""

    space: SpaceKey
    exists: bool
    public: bool
    role: Role
    banned: bool
    muted: bool
    settings: Mapping[str, Any]
    document_permission: str | None = None  # read, comment, edit or admin, as the document names this account

    @property
    def may_see(self) -> bool:
        if not self.exists:
            return False
        return self.public or self.role >= Role.MEMBER

    def require(self, action: Action) -> None:
        """Return, or raise `not_found`, `banned`, `muted` or `forbidden`."""
        if not self.may_see:
            raise PresenceError(NOT_FOUND)
        if self.banned and self.role is not Role.OPERATOR:
            raise PresenceError(BANNED)
        if self.role is Role.GUEST and not self.settings["guests_allowed"]:
            raise PresenceError(FORBIDDEN, "This space is for people with a Hive account.")
        if action is Action.CHAT:
            self._require_chat()
        elif action in (Action.MODERATE, Action.CONFIGURE):
            self._require_role(Role.MODERATOR)
        elif action is Action.SUBSCRIBE:
            self._require_role(Role.VISITOR if self.public else Role.MODERATOR)
        elif action is Action.COMMENT:
            self._require_comment()
        elif action is Action.RESOLVE and self.document_permission not in _MAY_EDIT:
            self._require_role(Role.MODERATOR)

    def _require_comment(self) -> None:
        """A public document takes comments from every account, a private one from those it lets comment or edit."""
        if self.role >= Role.MODERATOR:
            return
        self._require_role(Role.VISITOR)
        if self.muted:
            raise PresenceError(MUTED)
        if not self.public and self.document_permission not in _MAY_COMMENT:
            raise PresenceError(FORBIDDEN, "The document may be read here, but not commented on.")

    def _require_chat(self) -> None:
        if self.role >= Role.MODERATOR:
            return
        if self.muted:
            raise PresenceError(MUTED)
        if not self.settings["chat_enabled"]:
            raise PresenceError(FORBIDDEN, "Chat is switched off in this space.")

    def _require_role(self, least: Role) -> None:
        if self.role < least:
            raise PresenceError(FORBIDDEN)


_CONTENT = {
    "post": """SELECT author AS owner, NOT hidden AND NOT flagged AS public FROM posts
               WHERE author = split_part(:space_id, '/', 1) AND permlink = split_part(:space_id, '/', 2)""",
    "document": """SELECT creator AS owner, is_public AS public FROM collaboration_documents
                   WHERE space_id = :space_id AND NOT is_deleted""",
}
_OPEN = "SELECT NULL::text AS owner, true AS public"  # the lobby, communities and events belong to the operators

_QUERY = """
WITH content AS ({content})
SELECT content.owner, content.public,
  (SELECT max(CASE permission WHEN 'access' THEN 2 ELSE 3 END) FROM presence_permissions p
    WHERE p.space_type = :space_type AND p.space_id = :space_id AND p.account = :account) AS given_by_primary,
  (SELECT CASE role WHEN 'moderator' THEN 3 ELSE 2 END FROM space_roles r
    WHERE r.space_type = :space_type AND r.space_id = :space_id AND r.account = :account) AS given_here,
  (SELECT 2 FROM collaboration_permissions d
    WHERE :space_type = 'document' AND d.space_id = :space_id AND d.account = :account) AS named_in_document,
  (SELECT permission FROM collaboration_permissions d
    WHERE :space_type = 'document' AND d.space_id = :space_id AND d.account = :account) AS document_permission,
  ARRAY(SELECT kind FROM space_sanctions s
    WHERE s.space_type = :space_type AND s.space_id = :space_id AND s.lifted_at IS NULL
      AND (s.expires_at IS NULL OR s.expires_at > now())
      AND (s.subject_kind, s.subject) IN ((:subject_kind, :subject))) AS sanctions,
  (SELECT to_jsonb(x) FROM presence_space_settings x
    WHERE x.space_type = :space_type AND x.space_id = :space_id) AS settings
FROM content
"""


async def look(
    connection: AsyncConnection, identity: Identity, space: SpaceKey, operators: tuple[str, ...] = ()
) -> Standing:
    """How `identity` stands in `space`, by one query."""
    query = _QUERY.format(content=_CONTENT.get(space.space_type, _OPEN))
    row = (
        await connection.execute(
            text(query),
            {
                "space_type": space.space_type,
                "space_id": space.space_id,
                "account": identity.account or "",
                "subject_kind": identity.kind,
                "subject": identity.id,
            },
        )
    ).one_or_none()
    role = _role(identity, row, operators)
    settings = {**DEFAULT_SETTINGS, **_known(row.settings if row else None)}
    sanctions = row.sanctions if row else ()
    return Standing(
        space,
        exists=row is not None,
        public=bool(row and row.public),
        role=role,
        banned="ban" in sanctions,
        muted="mute" in sanctions,
        settings=settings,
        document_permission=row.document_permission if row else None,
    )


def _known(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (stored or {}).items() if name in DEFAULT_SETTINGS}


def is_operator(identity: Identity, operators: tuple[str, ...]) -> bool:
    """Whether `identity` stands above every space."""
    return identity.operator or (identity.account is not None and identity.account in operators)


def _role(identity: Identity, row: Any, operators: tuple[str, ...]) -> Role:
    if is_operator(identity, operators):
        return Role.OPERATOR
    if identity.account is None:
        return Role.GUEST
    if row is None:
        return Role.VISITOR
    if row.owner == identity.account:
        return Role.OWNER
    return Role(max(row.given_by_primary or 0, row.given_here or 0, row.named_in_document or 0, Role.VISITOR))
