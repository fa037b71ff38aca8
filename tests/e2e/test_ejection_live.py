"""Whoever may not be in a space any more is out of it on every replica, whatever way they were shut out, and stays out.

With real clients on both replicas. Each test has a space of its own, so that a ban of one is not met by another.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import pytest

from deploy.local.stack import Stack
from libs.common import cache
from libs.common.spaces import SpaceKey
from tests.support.node import Client, Node, Test
from tests.support.people import OPERATOR, Rest
from tests.support.waiting import eventually
from tests.support.wire import PATH, WAIT_SECONDS

REPLICAS = ("r1", "r2")
PHOTO, LIGHTING, PLANS = (
    SpaceKey("post", "alice/my-360-photo"),  # bob moderates there
    SpaceKey("document", "125"),  # alice's and private; bob may edit it
    SpaceKey("document", "123"),  # bob's and private; alice may comment
)


def event(name: str) -> SpaceKey:
    """The operators'; everyone may enter."""
    return SpaceKey("event", name)


def path(space: SpaceKey, rest: str = "") -> str:
    return f"/api/spaces/{space.space_type}/{space.space_id}{rest}"


async def act(rest: Rest, method: str, url: str, body: Any = None, token: str = OPERATOR) -> Any:
    status, answer, _ = await rest.ask(method, url, body, token)
    assert status in (200, 201), answer
    return answer


async def enter(stack: Stack, node: Node, replica: str, token: str, space: SpaceKey) -> Client:
    options = {"transports": ["websocket"], "auth": {"token": token}}
    client = await node.connect_to(replica, f"{token[-8:]} in {space} on {replica}", stack.url, options)
    await client.join(space.space_type, space.space_id)
    return client


def about(sid: str) -> Test:
    return lambda told: bool(told["socketId"] == sid)


@dataclass
class Scene:
    """One who is to go and one who stays, each with a socket on both replicas, and all know of each other."""

    going: list[Client]
    staying: list[Client]

    async def they_go(self, code: str, reason: str | None = None) -> None:
        """Each is told why, and everyone who stays that it was kicked; whoever stays is told nothing of the kind."""
        for client in self.going:
            told = await client.wait_for("kicked", lambda told: told["code"] == code)
            assert told["reason"] == reason if reason else told["reason"]
        await self.others_see_them_go("kicked")
        assert [client.received("kicked") for client in self.staying] == [[], []]

    async def others_see_them_go(self, reason: str | None = None) -> None:
        for gone in [client.sid for client in self.going]:
            for client in self.staying:
                left = await client.wait_for("user-left", about(gone))
                assert reason in (None, left["reason"])


async def scene(stack: Stack, node: Node, space: SpaceKey, going: str, staying: str) -> Scene:
    """`going` and `staying` are tokens."""
    found = Scene(
        [await enter(stack, node, replica, going, space) for replica in REPLICAS],
        [await enter(stack, node, replica, staying, space) for replica in REPLICAS],
    )
    for one in found.going:
        for other in found.staying:
            await one.wait_for("user-joined", about(other.sid))
    return found


async def guest(rest: Rest) -> str:
    return str((await rest.post("/api/auth/guest", {"display_name": "Visitor"}))["token"])


async def plain_join(stack: Stack, token: str, space: SpaceKey) -> Any:
    """What a plain WebSocket is told that asks to enter."""
    url = f"{stack.url}{PATH}?token={token}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        await socket.send_json({"type": "join-space", "spaceType": space.space_type, "spaceId": space.space_id})
        while True:
            told = await socket.receive_json(timeout=WAIT_SECONDS)
            if told["type"] in ("space-joined", "space-error"):
                return told


async def refused_everywhere(stack: Stack, rest: Rest, node: Node, space: SpaceKey, token: str, code: str) -> None:
    """On both replicas, by the API's join, networked-aframe's, the plain WebSocket's and REST's."""
    named = {"spaceType": space.space_type, "spaceId": space.space_id}
    for replica in REPLICAS:
        options = {"transports": ["websocket"], "auth": {"token": token}}
        client = await node.connect_to(replica, f"{token[-8:]} again in {space} on {replica}", stack.url, options)
        assert (await client.emit("join-space", named)).get("code") == code
        assert (await client.emit("joinRoom", {"room": str(space)})).get("code") == code
    assert (await plain_join(stack, token, space)).get("code") == code
    _, answer, _ = await rest.ask("POST", path(space, "/join"), {}, token)
    assert answer.get("code") == code


@asynccontextmanager
async def sql(stack: Stack, database: str = "PRESENCE_DATABASE_URL") -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stack.settings[database])
    try:
        yield connection
    finally:
        await connection.close()


async def raise_epoch(stack: Stack, space: SpaceKey) -> None:
    """All that is left of a change whose event is lost."""
    redis = cache.RedisClient(stack.settings["PRESENCE_REDIS_URL"])
    try:
        await cache.raise_epoch(redis.redis, space)
    finally:
        await redis.stop()


async def test_a_kick_reaches_both_replicas_and_its_victim_may_come_back(stack: Stack, rest: Rest, node: Node) -> None:
    space, dave = event("live-kick"), await rest.token("dave")
    people = await scene(stack, node, space, dave, await rest.token("carol"))
    await act(rest, "POST", path(space, "/kick"), {"account": "dave", "reason": "too loud"})
    await people.they_go("kicked", "too loud")
    assert (await people.going[0].join(space.space_type, space.space_id))["ok"]


async def test_a_banned_account_goes_and_finds_no_way_back(stack: Stack, rest: Rest, node: Node) -> None:
    space, login = event("live-ban"), await rest.login("dave")
    people = await scene(stack, node, space, login["token"], await rest.token("carol"))
    await act(rest, "POST", path(space, "/bans"), {"account": "dave", "reason": "rude"})
    await people.they_go("banned", "rude")
    fresh = await rest.post("/api/auth/refresh", {"refresh_token": login["refresh_token"]})
    for client in people.going:
        assert (await client.emit("auth-refresh", {"token": fresh["token"]}))["ok"]
        again = await client.emit("join-space", {"spaceType": space.space_type, "spaceId": space.space_id})
        assert again["code"] == "banned"
    for token in (login["token"], fresh["token"], await rest.token("dave")):
        await refused_everywhere(stack, rest, node, space, token, "banned")


async def test_an_admission_of_before_the_ban_opens_nothing(stack: Stack, rest: Rest, node: Node) -> None:
    """Not even for a moment: who enters by it on a replica that nobody else has asked since is shown nothing."""
    space = event("live-admission")
    joined = await rest.post(path(space, "/join"), {}, await rest.token("dave"))
    clients = [await enter(stack, node, replica, joined["session_token"], space) for replica in REPLICAS]
    await act(rest, "POST", path(space, "/bans"), {"account": "dave", "reason": "rude"})
    for client in clients:
        await client.wait_for("kicked")
        again = await client.emit("join-space", {"spaceType": space.space_type, "spaceId": space.space_id})
        assert again.get("code") == "banned"
        assert len(client.received("space-joined")) == 1


async def test_who_shows_another_token_is_not_there_any_more_as_who_they_were(
    stack: Stack, rest: Rest, node: Node
) -> None:
    """Else whoever is banned or runs out would stay, shown as themselves and reviewed as somebody else."""
    space, private = event("live-other-token"), {"spaceType": PLANS.space_type, "spaceId": PLANS.space_id}
    watcher = await enter(stack, node, "r1", await rest.token("carol"), space)
    dave = await enter(stack, node, "r2", await rest.token("dave"), space)
    await watcher.wait_for("user-joined", about(dave.sid))
    assert (await dave.emit("join-space", {**private, "token": await rest.token("dave")}))["code"] == "not_found"
    assert (await dave.emit("chat-message", {"content": "I am still here, it was my own"}))["ok"]
    assert (await dave.emit("join-space", {**private, "token": await guest(rest)}))["code"] == "not_found"
    await watcher.wait_for("user-left", about(dave.sid))
    assert (await dave.emit("chat-message", {"content": "who am I?"}))["code"] == "forbidden"


async def test_a_guest_is_banned_by_one_socket_and_goes_with_all(stack: Stack, rest: Rest, node: Node) -> None:
    space, token = event("live-guest"), await guest(rest)
    people = await scene(stack, node, space, token, await rest.token("carol"))
    await act(rest, "POST", path(space, "/bans"), {"socket_id": people.going[1].sid, "reason": "spam"})
    await people.they_go("banned", "spam")
    await refused_everywhere(stack, rest, node, space, token, "banned")


async def test_an_address_hits_all_who_come_from_it_but_not_who_outranks_it(
    stack: Stack, rest: Rest, node: Node
) -> None:
    moderator, token = await rest.token("bob"), await guest(rest)
    people = await scene(stack, node, PHOTO, token, await rest.token("alice"))
    body = {"address": "127.0.0.1", "reason": "a flood"}
    await act(rest, "POST", path(PHOTO, "/bans"), body, moderator)
    try:
        await people.they_go("banned")
        await refused_everywhere(stack, rest, node, PHOTO, token, "banned")
        await refused_everywhere(stack, rest, node, PHOTO, await guest(rest), "banned")
    finally:
        await act(rest, "DELETE", path(PHOTO, "/bans"), body, moderator)
    assert (await people.going[0].join(PHOTO.space_type, PHOTO.space_id))["ok"]


async def test_guests_off_puts_guests_out_and_tells_everyone_the_settings(stack: Stack, rest: Rest, node: Node) -> None:
    space, token = event("live-accounts-only"), await guest(rest)
    people = await scene(stack, node, space, token, await rest.token("carol"))
    await act(rest, "PATCH", path(space, "/settings"), {"guests_allowed": False})
    await people.they_go("forbidden")
    for client in people.staying:
        assert (await client.wait_for("space-updated"))["settings"]["guests_allowed"] is False
    await refused_everywhere(stack, rest, node, space, token, "forbidden")


async def test_a_logout_ends_the_logins_sockets_on_both_replicas(stack: Stack, rest: Rest, node: Node) -> None:
    space, token = event("live-logout"), await rest.token("dave")
    people = await scene(stack, node, space, token, await rest.token("dave"))
    await act(rest, "POST", "/api/auth/logout", {}, token)
    for client in people.going:
        assert (await client.wait_for("kicked"))["code"] == "unauthorized"
        await client.wait_for("disconnect")
    await people.others_see_them_go()
    assert [client.received("disconnect") for client in people.staying] == [[], []], "another login of the same account"
    with pytest.raises(ConnectionRefusedError):
        await node.connect("logged out", stack.url, {"transports": ["websocket"], "auth": {"token": token}})


async def test_a_role_that_is_taken_away_ends_the_stay(stack: Stack, rest: Rest, node: Node) -> None:
    owner, token = await rest.token("alice"), await rest.token("carol")
    await act(rest, "PUT", path(LIGHTING, "/roles/carol"), {"role": "member"}, owner)
    people = await scene(stack, node, LIGHTING, token, owner)
    await act(rest, "DELETE", path(LIGHTING, "/roles/carol"), None, owner)
    await people.they_go("not_found")
    await refused_everywhere(stack, rest, node, LIGHTING, token, "not_found")


async def test_a_permission_that_is_gone_at_the_primary_ends_the_stay(stack: Stack, rest: Rest, node: Node) -> None:
    token = await rest.token("alice")
    people = await scene(stack, node, PLANS, token, await rest.token("bob"))
    async with sql(stack, "PRESENCE_PRIMARY_URL") as primary:
        which = "document_id = 123 AND user_account = 'alice'"
        await primary.execute(f"UPDATE collaboration_permissions SET user_account = 'nobody' WHERE {which}")
        try:
            await act(rest, "POST", "/api/admin/sync", {})
            await people.they_go("not_found")
            await refused_everywhere(stack, rest, node, PLANS, token, "not_found")
        finally:
            which = which.replace("alice", "nobody")
            await primary.execute(f"UPDATE collaboration_permissions SET user_account = 'alice' WHERE {which}")
            await act(rest, "POST", "/api/admin/sync", {})
    assert (await people.going[0].join(PLANS.space_type, PLANS.space_id))["ok"]


@pytest.mark.parametrize("count", [12, 60, 100])
async def test_of_a_hundred_permissions_however_many_go_at_once_the_stay_ends_within_the_cycle(
    stack: Stack, rest: Rest, node: Node, count: int
) -> None:
    token = await rest.token("alice")
    async with sql(stack, "PRESENCE_PRIMARY_URL") as primary:
        await primary.execute("CREATE TABLE kept AS SELECT * FROM collaboration_permissions")
        try:
            await primary.execute(
                "INSERT INTO collaboration_permissions (document_id, user_account, permission) "
                "SELECT 125, 'reader' || n, 'read' FROM generate_series(1, 100 - (SELECT count(*)::int FROM kept)) n"
            )
            await act(rest, "POST", "/api/admin/sync", {"table": "collaboration_permissions"})
            people = await scene(stack, node, PLANS, token, await rest.token("bob"))
            await primary.execute(
                "DELETE FROM collaboration_permissions WHERE ctid IN (SELECT ctid FROM collaboration_permissions "
                f"ORDER BY document_id = 123 AND user_account = 'alice' DESC NULLS LAST LIMIT {count})"
            )
            await act(rest, "POST", "/api/admin/sync", {"table": "collaboration_permissions"})
            await people.they_go("not_found")
            await refused_everywhere(stack, rest, node, PLANS, token, "not_found")
        finally:
            await primary.execute(
                "DELETE FROM collaboration_permissions; INSERT INTO collaboration_permissions SELECT * FROM kept;"
                "DROP TABLE kept"
            )
            await act(rest, "POST", "/api/admin/sync", {})


LOST = {
    "banned": "INSERT INTO space_sanctions (id, space_type, space_id, kind, subject_kind, subject, reason, imposed_by)"
    " VALUES (gen_random_uuid(), 'event', $1, 'ban', 'account', 'dave', 'rude', 'account:alice')",
    "kicked": "INSERT INTO space_removals (space_type, space_id, seq, subject_kind, subject, beats, code, reason)"
    " VALUES ('event', $1, 1000000, 'account', 'dave', 5, 'kicked', 'rude')",
}


@pytest.mark.parametrize("code", LOST)
async def test_access_that_was_lost_ends_also_when_the_message_is_lost(
    stack: Stack, rest: Rest, node: Node, code: str
) -> None:
    """Nobody is told anything: the rows are there, and the epoch is another one."""
    space, token = event(f"live-lost-{code}"), await rest.token("dave")
    people = await scene(stack, node, space, token, await rest.token("carol"))
    async with sql(stack) as database:
        await database.execute(LOST[code], space.space_id)
    await raise_epoch(stack, space)
    await people.they_go(code, "rude" if code == "kicked" else None)


async def test_guests_off_is_found_also_when_the_message_is_lost(stack: Stack, rest: Rest, node: Node) -> None:
    space = event("live-lost-settings")
    people = await scene(stack, node, space, await guest(rest), await rest.token("carol"))
    async with sql(stack) as database:
        await database.execute(
            "INSERT INTO presence_space_settings (space_type, space_id, guests_allowed) VALUES ('event', $1, false)",
            space.space_id,
        )
    await raise_epoch(stack, space)
    await people.they_go("forbidden")


@pytest.mark.parametrize("before", [0, 4, 12])
async def test_a_ban_that_races_a_dozen_joins_leaves_none_of_them_in(
    stack: Stack, rest: Rest, node: Node, before: int
) -> None:
    """`before` are how many of the joins are sent before the ban is."""
    space, options = event(f"live-race-{before}"), {"transports": ["websocket"], "auth": {"token": ""}}
    watcher = await enter(stack, node, "r1", await rest.token("carol"), space)
    options["auth"] = {"token": await rest.token("dave")}
    clients = [await node.connect(f"racer {number}", stack.url, options) for number in range(12)]
    assert {client.sid[:2] for client in clients} == set(REPLICAS)
    named = {"spaceType": space.space_type, "spaceId": space.space_id}
    joins = [asyncio.ensure_future(client.emit("join-space", named)) for client in clients[:before]]
    ban = asyncio.ensure_future(act(rest, "POST", path(space, "/bans"), {"account": "dave", "reason": "rude"}))
    joins += [asyncio.ensure_future(client.emit("join-space", named)) for client in clients[before:]]
    await ban
    for client, ack in zip(clients, await asyncio.gather(*joins), strict=True):
        told = (await client.wait_for("kicked")) if ack["ok"] else ack
        assert told["code"] == "banned"
        if ack["ok"]:
            await watcher.wait_for("user-left", about(client.sid))

    async def only_the_watcher_is_there() -> bool:
        return [user["user_account"] for user in (await rest.get(path(space)))["connected_users"]] == ["carol"]

    await eventually(only_the_watcher_is_there)
    assert (await clients[0].emit("join-space", named))["code"] == "banned"
