"""Events of the primary: each is an event here, whose space opens and shuts with what the primary says."""

import asyncpg
import pytest

from deploy.local.primary.seed import SCHEMA
from libs.common import access
from libs.common.access import Action, Standing
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.roles import Role
from libs.common.spaces import SpaceKey
from services.sync_worker.replication.cycle import Outcome
from tests.integration.sync_worker.world import DOCUMENTS_BY_ID, POSTS, World

STUDIO = SpaceKey("event", "studio")
CAROLS = SpaceKey("event", "carols-own")
EVENTS = "CREATE TABLE IF NOT EXISTS presence_events" + (SCHEMA / "content.sql").read_text().split("presence_events")[1]


@pytest.fixture
async def holding(bare_world: World) -> World:
    """alice's public event `studio` is live; bob is a host beside her."""
    await bare_world.primary.execute(f"{POSTS};{DOCUMENTS_BY_ID};{EVENTS}")
    await bare_world.primary.execute("INSERT INTO posts VALUES ('alice', 'photo', 1, 0, '360', 0)")
    await bare_world.primary.execute(
        "INSERT INTO presence_events (event_code, title, host_account, co_hosts, is_public, status, max_attendees,"
        " scheduled_start) VALUES ('studio', 'Studio', 'alice', '{bob}', true, 'live', null, now() - interval '1 h')"
    )
    assert await bare_world.sync() is Outcome.DONE
    return bare_world


async def standing(world: World, account: str, space: SpaceKey = STUDIO) -> Standing:
    identity = Identity("account", account, account)
    async with world.database.read() as connection:
        return await access.look(connection, identity, space)


async def enters(world: World, account: str) -> str:
    """Returns the error's kind with which the account is kept out, or nothing."""
    try:
        (await standing(world, account)).require(Action.ENTER)
    except PresenceError as error:
        return error.kind.code
    return ""


async def change(world: World, changes: str) -> None:
    await world.primary.execute(f"UPDATE presence_events SET {changes}")
    assert await world.sync() is Outcome.DONE


async def as_owner(database_url: str, sql: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_an_event_of_the_primary_is_a_space_of_its_hosts(holding: World) -> None:
    assert (await standing(holding, "alice")).role is Role.OWNER
    assert (await standing(holding, "bob")).role is Role.MODERATOR
    assert await enters(holding, "carol") == ""
    assert await holding.replica("SELECT id, title, from_primary FROM scheduled_events WHERE from_primary") == [
        ("studio", "Studio", True)
    ]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ("is_public = false", "not_found"),
        ("is_public = null", "not_found"),
        ("password_protected = true, event_password = 'sesame'", "forbidden"),
        ("status = 'cancelled'", "forbidden"),
        ("status = 'ended'", "forbidden"),
        ("status = 'who knows'", "forbidden"),
        ("requires_subscription = true", "not_found"),
        ("max_attendees = 5", "forbidden"),
    ],
)
async def test_an_event_shuts_as_soon_as_the_primary_says_so(holding: World, changes: str, kind: str) -> None:
    await change(holding, changes)
    assert await enters(holding, "carol") == kind
    assert await enters(holding, "alice") == ""


@pytest.mark.parametrize("changes", ["is_public = false", "co_hosts = '{}'", "host_account = 'bob', co_hosts = '{}'"])
async def test_what_takes_access_away_raises_the_epoch(holding: World, changes: str) -> None:
    assert not await holding.epoch(str(STUDIO))
    await change(holding, changes)
    assert await holding.epoch(str(STUDIO))


async def test_a_host_who_is_none_any_more_is_a_visitor(holding: World) -> None:
    await change(holding, "host_account = 'carol', co_hosts = '{dave}'")
    roles = {account: (await standing(holding, account)).role for account in ("alice", "bob", "carol", "dave")}
    assert roles == {
        "alice": Role.VISITOR,
        "bob": Role.VISITOR,
        "carol": Role.OWNER,
        "dave": Role.MODERATOR,
    }


async def test_another_password_lets_in_nobody_who_knew_the_last_one(holding: World, database_url: str) -> None:
    await change(holding, "password_protected = true, event_password = 'sesame'")
    await as_owner(
        database_url,
        "INSERT INTO space_roles (space_type, space_id, account, role, given_by)"
        " VALUES ('event', 'studio', 'carol', 'member', 'the password')",
    )
    await change(holding, "title = 'Studio, evening'")
    assert await enters(holding, "carol") == ""
    await change(holding, "event_password = 'sesame2'")
    assert await enters(holding, "carol") == "forbidden"


async def test_an_event_that_the_primary_deletes_exists_no_more(holding: World) -> None:
    await holding.primary.execute(
        "INSERT INTO presence_events (event_code, title, host_account) VALUES ('another', 'Another', 'alice')"
    )
    await holding.sync()
    await holding.primary.execute("DELETE FROM presence_events WHERE event_code = 'studio'")
    await holding.sync()
    assert not (await standing(holding, "alice")).exists
    assert await holding.replica("SELECT account FROM space_roles WHERE space_id = 'studio'") == []
    assert await holding.epoch(str(STUDIO))


async def test_an_event_that_is_held_here_is_not_the_primarys_to_change(holding: World, database_url: str) -> None:
    await as_owner(
        database_url,
        "INSERT INTO scheduled_events (id, host, title, description, space_type, space_id, starts_at, ends_at,"
        " doors_at, closes_at, access) SELECT 'carols-own', 'carol', 'Mine', '', 'event', 'carols-own', starts_at,"
        " ends_at, doors_at, closes_at, 'list' FROM scheduled_events WHERE id = 'studio'",
    )
    await holding.primary.execute(
        "INSERT INTO presence_events (event_code, title, host_account, co_hosts, is_public)"
        " VALUES ('carols-own', 'Yours', 'dave', '{bob}', true)"
    )
    await holding.sync()
    await holding.primary.execute("DELETE FROM presence_events WHERE event_code = 'carols-own'")
    await holding.sync()
    mine = "SELECT host, title, access FROM scheduled_events WHERE id = 'carols-own'"
    assert await holding.replica(mine) == [("carol", "Mine", "list")]
    assert (await standing(holding, "bob", CAROLS)).role is Role.VISITOR


async def test_without_what_says_whom_an_event_is_for_events_stay_as_they_were(holding: World) -> None:
    await holding.primary.execute("ALTER TABLE presence_events RENAME is_public TO open_to_all")
    await holding.primary.execute("UPDATE presence_events SET title = 'Renamed'")
    await holding.sync()
    assert await holding.replica("SELECT title FROM presence_events") == [("Studio",)]
    assert "is_public" in (await holding.error_of("presence_events") or "")


async def test_the_log_is_told_what_became_of_an_event(holding: World) -> None:
    await change(holding, "title = 'Studio, evening'")
    await change(holding, "status = 'cancelled'")
    await holding.primary.execute("DELETE FROM presence_events")
    await holding.sync()  # all rows at once are gone: closed, until somebody confirms it
    told = await holding.replica("SELECT space_type, space_id, payload FROM event_log ORDER BY id")
    assert told == [
        ("event", "studio", {"title": "Studio, evening", "change": "changed"}),
        ("event", "studio", {"title": "Studio, evening", "change": "cancelled"}),
    ]
