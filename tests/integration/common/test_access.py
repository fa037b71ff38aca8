"""The policy as a table: each row is a person in a space, each column an action."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from libs.common import access
from libs.common.access import DEFAULT_SETTINGS, Action
from libs.common.errors import PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from tests.integration.common.world import Owner, identity, owner_of
from tests.support.halls import fresh
from tests.support.servers import Servers

OPERATORS = ("olivia",)
PUBLIC, HIDDEN, FLAGGED = "post bob/public", "post bob/hidden", "post bob/flagged"
OPEN, PRIVATE, DELETED = "document 200", "document 201", "document 202"
LOBBY, GUESTLESS, SILENT, ABSENT = "global lobby", "event guestless", "event silent", "post bob/absent"
NAMED = "document bob/shared-draft"

CONTENT = """
INSERT INTO posts (author, permlink, type, row_hash, hidden, flagged) VALUES
  ('bob', 'public', '360', 'x', false, false), ('bob', 'hidden', '360', 'x', true, false),
  ('bob', 'flagged', '360', 'x', false, true);
INSERT INTO collaboration_documents (space_id, creator, is_public, is_deleted, row_hash) VALUES
  ('200', 'bob', true, false, 'x'), ('201', 'bob', false, false, 'x'), ('202', 'bob', true, true, 'x'),
  ('bob/shared-draft', 'bob', false, false, 'x');
INSERT INTO collaboration_documents (space_id, creator, is_public, comment_permissions, edit_permissions, row_hash)
  VALUES ('301', 'bob', true, 'all', 'all', 'x'), ('302', 'bob', true, 'invited_only', 'invited_only', 'x'),
  ('303', 'bob', true, 'creator_only', 'creator_only', 'x'), ('304', 'bob', false, 'all', 'all', 'x'),
  ('305', 'bob', false, 'creator_only', 'creator_only', 'x');
INSERT INTO collaboration_permissions (space_id, account, permission, row_hash)
  SELECT document, account, permission, 'x' FROM unnest(ARRAY['301', '302', '303', '304', '305']) document,
    (VALUES ('reader', 'read'), ('carol', 'comment'), ('eddy', 'edit')) named(account, permission);
INSERT INTO collaboration_permissions (space_id, account, permission, row_hash) VALUES
  ('201', 'reader', 'read', 'x'), ('202', 'reader', 'edit', 'x'), ('bob/shared-draft', 'reader', 'edit', 'x');
INSERT INTO presence_permissions (space_type, space_id, account, permission, row_hash) VALUES
  ('post', 'bob/public', 'mona', 'moderate', 'x'), ('post', 'bob/hidden', 'mona', 'admin', 'x'),
  ('document', '201', 'mona', 'moderate', 'x'), ('post', 'bob/hidden', 'anna', 'access', 'x'),
  ('event', 'silent', 'mona', 'moderate', 'x'), ('post', 'bob/absent', 'mona', 'admin', 'x');
INSERT INTO space_roles (space_type, space_id, account, role, given_by) VALUES
  ('document', '201', 'rolf', 'member', 'bob'), ('post', 'bob/public', 'rolf', 'moderator', 'bob'),
  ('post', 'bob/public', 'mona', 'member', 'bob');
INSERT INTO presence_space_settings (space_type, space_id, guests_allowed, chat_enabled) VALUES
  ('event', 'guestless', false, true), ('event', 'silent', true, false);
"""
SANCTIONS = [  # space, kind, subject kind, subject, expires in hours or None, lifted
    ("post bob/public", "ban", "account", "bannie", None, False),
    ("post bob/public", "ban", "guest", "0192", None, False),
    ("post bob/public", "ban", "account", "olivia", None, False),
    ("post bob/public", "ban", "account", "lapsed", -1, False),
    ("post bob/public", "ban", "account", "lifted", None, True),
    ("post bob/public", "ban", "account", "later", 1, False),
    ("post bob/public", "mute", "account", "mute-one", None, False),
    ("post bob/public", "ban", "account", "anna", None, False),
    ("document 201", "ban", "account", "reader2", None, False),
]
OK, NO, NONE, BAN, MUTE = "ok", "forbidden", "not_found", "banned", "muted"
# who, where: role, then what becomes of enter, chat, moderate (as configure), subscribe
TABLE: list[tuple[str, str, str, str, str, str, str]] = [
    ("bob", PUBLIC, "owner", OK, OK, OK, OK),
    ("bob", HIDDEN, "owner", OK, OK, OK, OK),
    ("bob", FLAGGED, "owner", OK, OK, OK, OK),
    ("bob", PRIVATE, "owner", OK, OK, OK, OK),
    ("bob", NAMED, "owner", OK, OK, OK, OK),
    ("bob", DELETED, "visitor", NONE, NONE, NONE, NONE),
    ("bob", ABSENT, "visitor", NONE, NONE, NONE, NONE),
    ("mona", PUBLIC, "moderator", OK, OK, OK, OK),
    ("mona", HIDDEN, "moderator", OK, OK, OK, OK),
    ("mona", PRIVATE, "moderator", OK, OK, OK, OK),
    ("mona", ABSENT, "visitor", NONE, NONE, NONE, NONE),
    ("mona", LOBBY, "visitor", OK, OK, NO, OK),
    ("rolf", PUBLIC, "moderator", OK, OK, OK, OK),
    ("rolf", PRIVATE, "member", OK, OK, NO, NO),
    ("anna", HIDDEN, "member", OK, OK, NO, NO),
    ("anna", PUBLIC, "visitor", BAN, BAN, BAN, BAN),
    ("reader", PRIVATE, "member", OK, OK, NO, NO),
    ("reader", NAMED, "member", OK, OK, NO, NO),
    ("reader", OPEN, "visitor", OK, OK, NO, OK),
    ("reader", DELETED, "visitor", NONE, NONE, NONE, NONE),
    ("carol", PUBLIC, "visitor", OK, OK, NO, OK),
    ("carol", OPEN, "visitor", OK, OK, NO, OK),
    ("carol", HIDDEN, "visitor", NONE, NONE, NONE, NONE),
    ("carol", FLAGGED, "visitor", NONE, NONE, NONE, NONE),
    ("carol", PRIVATE, "visitor", NONE, NONE, NONE, NONE),
    ("carol", GUESTLESS, "visitor", OK, OK, NO, OK),
    ("carol", SILENT, "visitor", OK, NO, NO, OK),
    ("carol", LOBBY, "visitor", OK, OK, NO, OK),
    ("mona", SILENT, "moderator", OK, OK, OK, OK),
    ("guest", LOBBY, "guest", OK, OK, NO, NO),
    ("guest", OPEN, "guest", OK, OK, NO, NO),
    ("guest", HIDDEN, "guest", NONE, NONE, NONE, NONE),
    ("guest", PRIVATE, "guest", NONE, NONE, NONE, NONE),
    ("guest", GUESTLESS, "guest", NO, NO, NO, NO),
    ("guest", SILENT, "guest", OK, NO, NO, NO),
    ("guest", PUBLIC, "guest", BAN, BAN, BAN, BAN),
    ("anonymous", PUBLIC, "guest", OK, OK, NO, NO),
    ("anonymous", GUESTLESS, "guest", NO, NO, NO, NO),
    ("olivia", PUBLIC, "operator", OK, OK, OK, OK),
    ("olivia", PRIVATE, "operator", OK, OK, OK, OK),
    ("olivia", HIDDEN, "operator", OK, OK, OK, OK),
    ("olivia", LOBBY, "operator", OK, OK, OK, OK),
    ("olivia", SILENT, "operator", OK, OK, OK, OK),
    ("olivia", DELETED, "operator", NONE, NONE, NONE, NONE),
    ("olivia", ABSENT, "operator", NONE, NONE, NONE, NONE),
    ("bannie", PUBLIC, "visitor", BAN, BAN, BAN, BAN),
    ("bannie", OPEN, "visitor", OK, OK, NO, OK),
    ("lapsed", PUBLIC, "visitor", OK, OK, NO, OK),
    ("lifted", PUBLIC, "visitor", OK, OK, NO, OK),
    ("later", PUBLIC, "visitor", BAN, BAN, BAN, BAN),
    ("mute-one", PUBLIC, "visitor", OK, MUTE, NO, OK),
    ("mute-one", OPEN, "visitor", OK, OK, NO, OK),
    ("reader2", PRIVATE, "visitor", NONE, NONE, NONE, NONE),
]


@pytest.fixture(scope="module")
async def owner(servers: Servers) -> AsyncIterator[Owner]:
    """One database for the whole table: it only reads."""
    async with owner_of(await servers.new_database()) as owner:
        for statement in filter(str.strip, CONTENT.split(";")):
            await owner.sql(statement)
        for space, kind, subject_kind, subject, hours, lifted in SANCTIONS:
            await sanction(owner, key(space), kind, subject_kind, subject, hours, lifted=lifted)
        yield owner


async def sanction(
    owner: Owner,
    space: SpaceKey,
    kind: str,
    subject_kind: str,
    subject: str,
    hours: int | None,
    *,
    lifted: bool = False,
) -> None:
    await owner.sql(
        """INSERT INTO space_sanctions
             (id, space_type, space_id, kind, subject_kind, subject, reason, imposed_by, expires_at, lifted_at)
           VALUES (:id, :type, :space, :kind, :subject_kind, :subject, 'why', 'bob',
             now() + make_interval(hours => cast(:hours AS int)), CASE WHEN :lifted THEN now() END)""",
        id=new_id(), type=space.space_type, space=space.space_id, kind=kind, subject_kind=subject_kind,
        subject=subject, hours=hours, lifted=lifted,
    )  # fmt: skip


def key(space: str) -> SpaceKey:
    return SpaceKey(*space.split(" "))


async def standing_of(owner: Owner, who: str, space: str) -> access.Standing:
    async with owner.database.read() as connection:
        return await access.look(connection, identity(who), key(space), OPERATORS)


def outcome(standing: access.Standing, action: Action) -> str:
    try:
        standing.require(action)
    except PresenceError as error:
        return error.kind.code
    return OK


@pytest.mark.parametrize(
    ("who", "space", "role", "enter", "chat", "moderate", "subscribe"), TABLE, ids=[f"{r[0]} in {r[1]}" for r in TABLE]
)
async def test_a_role_in_a_space_may_do_what_the_table_says(
    owner: Owner, who: str, space: str, role: str, enter: str, chat: str, moderate: str, subscribe: str
) -> None:
    standing = await standing_of(owner, who, space)
    assert standing.role.label == role
    assert standing.may_see is (enter != NONE)
    expected = {
        Action.ENTER: enter, Action.CHAT: chat, Action.MODERATE: moderate, Action.CONFIGURE: moderate,
        Action.SUBSCRIBE: subscribe,
    }  # fmt: skip
    assert {action: outcome(standing, action) for action in expected} == expected


# who, document 301 (public, all), 302 (public, invited_only), 303 (public, creator_only), 304 (private, all),
# 305 (private, creator_only): what becomes of a comment, and of resolving another's
WHO_MAY_COMMENT = [
    ("bob", (OK, OK, OK, OK, OK), (OK, OK, OK, OK, OK)),
    ("olivia", (OK, OK, OK, OK, OK), (OK, OK, OK, OK, OK)),
    ("dave", (OK, NO, NO, NONE, NONE), (NO, NO, NO, NONE, NONE)),
    ("guest", (NO, NO, NO, NONE, NONE), (NO, NO, NO, NONE, NONE)),
    ("reader", (OK, NO, NO, NO, NO), (NO, NO, NO, NO, NO)),
    ("carol", (OK, OK, NO, OK, NO), (NO, NO, NO, NO, NO)),
    ("eddy", (OK, OK, NO, OK, NO), (OK, OK, NO, OK, NO)),
]


@pytest.mark.parametrize(("who", "comment", "resolve"), WHO_MAY_COMMENT, ids=[row[0] for row in WHO_MAY_COMMENT])
async def test_a_document_takes_comments_from_those_it_says_and_is_narrowed_never_widened_by_it(
    owner: Owner, who: str, comment: tuple[str, ...], resolve: tuple[str, ...]
) -> None:
    standings = [await standing_of(owner, who, f"document {number}") for number in (301, 302, 303, 304, 305)]

    assert tuple(outcome(standing, Action.COMMENT) for standing in standings) == comment
    assert tuple(outcome(standing, Action.RESOLVE) for standing in standings) == resolve


async def test_a_moderator_whom_the_owner_muted_may_not_speak(owner: Owner) -> None:
    standing = replace(await standing_of(owner, "mona", PUBLIC), muted=True)
    assert outcome(standing, Action.CHAT) == MUTE


@pytest.mark.parametrize(
    ("banned", "address", "outcome_there"),
    [
        ("198.51.100.0/24", "198.51.100.7", BAN),
        ("198.51.100.0/24", "::ffff:198.51.100.7", BAN),
        ("198.51.100.0/24", "198.51.101.7", OK),
        ("2001:db8:0:1::/64", "2001:db8:0:1:aaaa::1", BAN),
        ("2001:db8:0:1::/64", "2001:db8:0:2::1", OK),
        ("198.51.100.0/24", "", OK),
        ("198.51.100.0/24", "not an address", OK),
    ],
)
async def test_an_address_is_banned_by_its_range(owner: Owner, banned: str, address: str, outcome_there: str) -> None:
    space = SpaceKey("event", fresh())
    await ban_range(owner, space, banned, beats=5)
    async with owner.database.read() as connection:
        for who in ("carol", "guest", "anonymous"):
            standing = await access.look(connection, identity(who), space, OPERATORS, address)
            assert outcome(standing, Action.ENTER) == outcome_there
        assert outcome(await access.look(connection, identity("olivia"), space, OPERATORS, address), Action.ENTER) == OK


async def test_a_moderators_range_does_not_hit_those_above(owner: Owner) -> None:
    await ban_range(owner, key(OPEN), "203.0.113.0/24", beats=3)
    async with owner.database.read() as connection:
        found = await access.look_at_all(
            connection, [(identity(who), "203.0.113.9") for who in ("bob", "carol", "guest")], key(OPEN), OPERATORS
        )
    assert [outcome(standing, Action.ENTER) for standing in found] == [OK, BAN, BAN]
    await owner.sql("DELETE FROM space_sanctions WHERE subject_kind = 'address'")


async def ban_range(owner: Owner, space: SpaceKey, range_: str, beats: int) -> None:
    await owner.sql(
        """INSERT INTO space_sanctions
             (id, space_type, space_id, kind, subject_kind, subject, address_range, beats, reason, imposed_by)
           VALUES (:id, :type, :space, 'ban', 'address', :range,
              cast(cast(:range AS text) AS cidr), :beats, 'x', 'b')""",
        id=new_id(), type=space.space_type, space=space.space_id, range=range_, beats=beats,
    )  # fmt: skip


async def test_the_operator_token_stands_above_every_space(owner: Owner) -> None:
    operator = replace(identity("gateway", "service"), operator=True)
    async with owner.database.read() as connection:
        standing = await access.look(connection, operator, key(PRIVATE))
    assert (standing.role.label, outcome(standing, Action.CONFIGURE)) == ("operator", OK)


async def test_a_service_without_that_stands_as_a_guest(owner: Owner) -> None:
    async with owner.database.read() as connection:
        standing = await access.look(connection, identity("bob", "service"), key(PRIVATE))
    assert outcome(standing, Action.ENTER) == NONE


async def test_a_guest_whose_id_is_an_accounts_name_is_not_that_account(owner: Owner) -> None:
    async with owner.database.read() as connection:
        standing = await access.look(connection, identity("bob", "guest"), key(PRIVATE))
        assert outcome(standing, Action.ENTER) == NONE
        standing = await access.look(connection, identity("bannie", "guest"), key(PUBLIC))
        assert outcome(standing, Action.ENTER) == OK


async def test_a_space_without_settings_has_the_defaults_and_others_their_own(owner: Owner) -> None:
    assert (await standing_of(owner, "carol", PUBLIC)).settings == DEFAULT_SETTINGS
    assert (await standing_of(owner, "carol", SILENT)).settings == {**DEFAULT_SETTINGS, "chat_enabled": False}
