"""The one policy: decides whether an identity may do something in a space.

`look` reads everything that matters in one query and returns a `Standing`; `Standing.require` decides. A space that the
caller may not see is `not_found`, never `forbidden`, so that no answer reveals that it exists. docs/spaces.md has the
table of roles and actions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.addresses import canonical
from libs.common.errors import BANNED, FORBIDDEN, MUTED, NOT_FOUND, PresenceError
from libs.common.identity import Identity
from libs.common.roles import Role, is_operator
from libs.common.spaces import SpaceKey


class Action(StrEnum):
    ENTER = "enter"
    CHAT = "chat"
    MODERATE = "moderate"
    CONFIGURE = "configure"
    GIVE_ROLES = "give_roles"
    ANALYSE = "analyse"
    SUBSCRIBE = "subscribe"  # webhooks
    COMMENT = "comment"  # on a document
    RESOLVE = "resolve"  # another's comment


_NOT_OVER = "Moderators cannot do that to the owner or to each other."
GUEST_ADDRESS_DAYS = 7  # for which a guest's ban or mute holds for other guests of its address; addresses change hands
_MAY_EDIT = ("edit", "admin")
_MAY_COMMENT = ("comment", *_MAY_EDIT)
_NAMED_MAY = ("invited_only", "all")

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
class Last:
    """Whose a space was up to its end, and whether it was everybody's."""

    owner: str
    public: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """One identity's role in one space and all that limits it there, at the moment of the query."""

    space: SpaceKey
    exists: bool
    public: bool
    role: Role
    banned: bool  # by one who may do that to this role; never an operator
    muted: bool
    settings: Mapping[str, Any]
    mute_ends: float | None = None  # Unix time in seconds at which the first of the mutes ends
    document_permission: str | None = None  # read, comment, edit or admin, as the document names this account
    comments_by: str | None = None  # creator_only, invited_only or all, as the document says; None elsewhere
    edits_by: str | None = None
    barred: str = ""  # why an event is not for this identity, as far as access and places go; empty if it is
    by_address: bool = False  # whether somebody is banned or muted here by address: guests are not all alike then
    shut: str = ""  # why nobody below a moderator enters the event at this time; empty if they may

    @property
    def may_see(self) -> bool:
        if not self.exists:
            return False
        return self.public or self.role >= Role.MEMBER

    @property
    def may_enter(self) -> bool:
        try:
            self.require(Action.ENTER)
        except PresenceError:
            return False
        return True

    def require(self, action: Action) -> None:
        """Returns if the action is allowed. Raises `not_found`, `banned`, `muted` or `forbidden`."""
        if not self.may_see:
            raise PresenceError(NOT_FOUND)
        if self.banned:
            raise PresenceError(BANNED)
        if self.role is Role.GUEST and not self.settings["guests_allowed"]:
            raise PresenceError(FORBIDDEN, "This space is for people with a Hive account.")
        self._require_event(action)
        if action is Action.CHAT:
            self._require_chat()
        elif action in (Action.MODERATE, Action.CONFIGURE):
            self._require_role(Role.MODERATOR)
        elif action in (Action.GIVE_ROLES, Action.ANALYSE):
            self._require_role(Role.OWNER)
        elif action is Action.SUBSCRIBE:
            self._require_role(Role.VISITOR if self.public else Role.MODERATOR)
        elif action is Action.COMMENT:
            self._require_comment()
        elif action is Action.RESOLVE and not self._may_edit:
            self._require_role(Role.MODERATOR)

    def _require_event(self, action: Action) -> None:
        """Raises `forbidden` where an event is not for this identity, or not now: to hear of it, it need not be now."""
        reason = self.barred or ("" if action is Action.SUBSCRIBE else self.shut)
        if reason and self.role < Role.MODERATOR:
            raise PresenceError(FORBIDDEN, reason)

    def require_over_words_of(self, author: "Standing") -> None:
        """Raises `forbidden` unless this identity, a moderator or above, may take back the words of `author`.

        A moderator has no power over the owner, other moderators or operators; the owner and operators have it over
        everybody.
        """
        if self.role <= Role.MODERATOR <= author.role:
            raise PresenceError(FORBIDDEN, _NOT_OVER)

    def require_over(self, other: "Standing") -> None:
        """Raises `forbidden` unless this identity, a moderator or above, may ban, mute or kick `other`.

        For a moderator the rule is that of `require_over_words_of`. The owner and operators have no power over their
        own rank or a higher one either: a sanction never holds against an operator, and nobody shuts themself out.
        """
        self.require_over_words_of(other)
        if other.role >= self.role:
            raise PresenceError(FORBIDDEN, _NOT_OVER)

    def _require_comment(self) -> None:
        """Raises `muted`, or `forbidden` unless the document takes comments from this account.

        That is from all where it is public and says so, and from those it names, unless it says the creator only.
        """
        if self.muted:
            raise PresenceError(MUTED)
        if self.role >= Role.MODERATOR:
            return
        self._require_role(Role.VISITOR)
        named = self.comments_by in _NAMED_MAY and self.document_permission in _MAY_COMMENT
        if not named and not (self.public and self.comments_by == "all"):
            raise PresenceError(FORBIDDEN, "The document may be read here, but not commented on.")

    @property
    def _may_edit(self) -> bool:
        """Nobody edits here yet, so `all` lets nobody resolve whom the document does not name."""
        return self.edits_by in _NAMED_MAY and self.document_permission in _MAY_EDIT

    def _require_chat(self) -> None:
        if self.muted:
            raise PresenceError(MUTED)
        if self.role >= Role.MODERATOR:
            return
        if not self.settings["chat_enabled"]:
            raise PresenceError(FORBIDDEN, "Chat is switched off in this space.")

    def _require_role(self, least: Role) -> None:
        if self.role < least:
            raise PresenceError(FORBIDDEN)


_CONTENT = {
    "post": """SELECT author AS owner, NOT hidden AND NOT flagged AS public,
                 NULL::text AS comment_permissions, NULL::text AS edit_permissions FROM posts
               WHERE author = split_part(people.space_id, '/', 1)
                 AND permlink = split_part(people.space_id, '/', 2)""",
    "document": """SELECT creator AS owner, is_public AS public, comment_permissions, edit_permissions
                   FROM collaboration_documents
                   WHERE space_id = people.space_id AND NOT is_deleted""",
    "community": """SELECT NULL::text AS owner, true AS public,
                      NULL::text AS comment_permissions, NULL::text AS edit_permissions
                    FROM communities WHERE name = people.space_id""",
    "event": """SELECT host AS owner, access <> 'list' AS public,
                  NULL::text AS comment_permissions, NULL::text AS edit_permissions,
                  access AS admits, capacity IS NOT NULL AS limited,
                  CASE WHEN cancelled_at IS NOT NULL THEN 'cancelled'
                       WHEN (space_type, space_id) <> ('event', id) THEN 'elsewhere'
                       WHEN now() < doors_at THEN 'early'
                       WHEN now() >= closes_at THEN 'over' END AS shut
                FROM scheduled_events WHERE id = people.space_id""",
    # The lobby belongs to the operators.
    "global": """SELECT NULL::text AS owner, true AS public,
                   NULL::text AS comment_permissions, NULL::text AS edit_permissions""",
}
_GONE = """SELECT (cast(:owners AS text[]))[people.position] AS owner,
             (cast(:publics AS bool[]))[people.position] AS public,
             NULL::text AS comment_permissions, NULL::text AS edit_permissions"""
_NO_EVENT = "NULL::text AS admits, false AS limited, NULL::text AS shut, false AS going"
_EVENT = """content.admits, content.limited, content.shut,
  (SELECT going FROM event_places e WHERE e.event_id = people.space_id AND e.account = people.account) AS going"""
_GIVEN_BY_HIVE = """(SELECT CASE role WHEN 'owner' THEN 4 ELSE 3 END FROM community_team t
    WHERE t.name = people.space_id AND t.account = people.account)"""
SHUT = {
    "cancelled": "This event was cancelled.",
    "elsewhere": "This event happens in another space.",
    "early": "The doors of this event are not open yet.",
    "over": "This event is over.",
}

_QUERY = """
WITH people AS (
  SELECT space_id, kind, id, CASE kind WHEN 'account' THEN id ELSE '' END AS account, cast(address AS inet) AS address,
    position
  FROM unnest(cast(:space_ids AS text[]), cast(:kinds AS text[]), cast(:ids AS text[]), cast(:addresses AS text[]))
    WITH ORDINALITY AS p(space_id, kind, id, address, position)
)
SELECT content.owner, content.public, content.comment_permissions, content.edit_permissions,
  {event}, {given_by_hive} AS given_by_hive,
  (SELECT max(CASE permission WHEN 'access' THEN 2 ELSE 3 END) FROM presence_permissions p
    WHERE p.space_type = :space_type AND p.space_id = people.space_id
      AND p.account = people.account) AS given_by_primary,
  (SELECT CASE role WHEN 'moderator' THEN 3 ELSE 2 END FROM space_roles r
    WHERE r.space_type = :space_type AND r.space_id = people.space_id AND r.account = people.account) AS given_here,
  (SELECT permission FROM collaboration_permissions d
    WHERE :space_type = 'document' AND d.space_id = people.space_id
      AND d.account = people.account) AS document_permission,
  EXISTS (SELECT FROM space_sanctions a
    WHERE a.space_type = :space_type AND a.space_id = people.space_id AND a.lifted_at IS NULL
      AND coalesce(a.expires_at > now(), true) AND (a.address_range IS NOT NULL OR a.guest_range IS NOT NULL)
  ) AS by_address,
  sanctions.ban, sanctions.mute, sanctions.mute_ends,
  (SELECT to_jsonb(x) FROM presence_space_settings x
    WHERE x.space_type = :space_type AND x.space_id = people.space_id) AS settings
FROM people LEFT JOIN LATERAL ({content}) AS content ON true, LATERAL (
  SELECT max(beats) FILTER (WHERE kind = 'ban') AS ban, max(beats) FILTER (WHERE kind = 'mute') AS mute,
    extract(epoch FROM min(ends) FILTER (WHERE kind = 'mute'))::float8 AS mute_ends
  FROM space_sanctions s, LATERAL (
    SELECT (s.subject_kind, s.subject) = (people.kind, people.id)
      OR coalesce(s.subject_kind = 'address' AND s.address_range >>= people.address, false) AS named,
      people.kind = 'guest' AND s.guest_range >>= people.address AS beside
  ) AS hit, LATERAL (
    SELECT CASE WHEN named THEN s.expires_at
      ELSE least(s.expires_at, s.created_at + make_interval(days => {guest_days})) END AS ends
  ) AS time
  WHERE s.space_type = :space_type AND s.space_id = people.space_id AND s.lifted_at IS NULL AND (named OR beside)
    AND (ends IS NULL OR ends > now())
) AS sanctions
ORDER BY people.position
"""


async def look(
    connection: AsyncConnection,
    identity: Identity,
    space: SpaceKey,
    operators: tuple[str, ...] = (),
    address: str = "",
) -> Standing:
    """Returns the standing in `space` of `identity`, who comes from `address`, by one query.

    Without an address, bans of addresses are not seen: every edge that a person comes through passes one on.
    """
    return (await look_at_all(connection, [(identity, address)], space, operators))[0]


async def look_at_all(
    connection: AsyncConnection,
    people: Sequence[tuple[Identity, str]],
    space: SpaceKey,
    operators: tuple[str, ...] = (),
) -> list[Standing]:
    """Returns the standing of each person, an identity and its address, in their order, by one query."""
    return await _look(connection, [(space, identity, address) for identity, address in people], operators)


async def look_everywhere(
    connection: AsyncConnection, people: Sequence[tuple[SpaceKey, Identity]], operators: tuple[str, ...] = ()
) -> list[Standing]:
    """Returns the standing of each identity in its space, in their order, by one query. All spaces are of one type.

    Without addresses, for what is sent and not asked for.
    """
    return await _look(connection, [(space, identity, "") for space, identity in people], operators)


async def look_back(
    connection: AsyncConnection, people: Sequence[tuple[SpaceKey, Identity, Last]], operators: tuple[str, ...] = ()
) -> list[Standing]:
    """Returns the standing that each identity would have if its document, which is gone, were there as it was last.

    In their order, by one query. Roles, bans and permissions are those of now.
    """
    last = {"owners": [last.owner for _, _, last in people], "publics": [last.public for _, _, last in people]}
    return await _look(connection, [(space, who, "") for space, who, _ in people], operators, _GONE, last)


async def _look(
    connection: AsyncConnection,
    people: Sequence[tuple[SpaceKey, Identity, str]],
    operators: tuple[str, ...],
    content: str | None = None,
    values: Mapping[str, Any] | None = None,
) -> list[Standing]:
    if not people:
        return []
    space_type = people[0][0].space_type
    rows = await connection.execute(
        _query(space_type, content or _CONTENT[space_type]),
        {
            **(values or {}),
            "space_type": space_type,
            "space_ids": [space.space_id for space, _, _ in people],
            "kinds": [identity.kind for _, identity, _ in people],
            "ids": [identity.id for _, identity, _ in people],
            "addresses": [canonical(address) for _, _, address in people],
        },
    )
    return [_standing(space, identity, row, operators) for (space, identity, _), row in zip(people, rows, strict=True)]


@cache
def _query(space_type: str, content: str) -> TextClause:
    query = _QUERY.format(
        content=content,
        event=_EVENT if space_type == "event" else _NO_EVENT,
        given_by_hive=_GIVEN_BY_HIVE if space_type == "community" else "0",
        guest_days=GUEST_ADDRESS_DAYS,
    )
    return text(query)


def _standing(space: SpaceKey, identity: Identity, row: Any, operators: tuple[str, ...]) -> Standing:
    role = _role(identity, row, operators)
    return Standing(
        space,
        exists=row.public is not None,
        public=bool(row.public),
        role=role,
        banned=(row.ban or 0) > role,
        muted=(row.mute or 0) > role,
        mute_ends=row.mute_ends,
        settings={**DEFAULT_SETTINGS, **_known(row.settings)},
        document_permission=row.document_permission,
        comments_by=row.comment_permissions,
        edits_by=row.edit_permissions,
        barred=_barred(row, role),
        by_address=row.by_address,
        shut=SHUT.get(row.shut, ""),
    )


def _barred(row: Any, role: Role) -> str:
    if row.admits == "password" and role < Role.MEMBER:
        return "This event asks for a password."
    return "This event is for those who have a place." if row.limited and not row.going else ""


def _known(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (stored or {}).items() if name in DEFAULT_SETTINGS}


def _role(identity: Identity, row: Any, operators: tuple[str, ...]) -> Role:
    if is_operator(identity, operators):
        return Role.OPERATOR
    if identity.account is None:
        return Role.GUEST
    if row.public is None:  # there is nothing to have a role in
        return Role.VISITOR
    if row.owner == identity.account:
        return Role.OWNER
    named = Role.MEMBER if row.document_permission else Role.VISITOR
    return Role(max(row.given_by_primary or 0, row.given_here or 0, row.given_by_hive or 0, named))
