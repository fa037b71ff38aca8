"""Redis at its memory limit, as docs/operations.md says: nobody comes in; those inside stay, talk, move and leave."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from operator import eq
from typing import Any

import pytest
from redis.asyncio import Redis

from deploy.local.stack import Stack
from libs.common import cache
from libs.common.spaces import SpaceKey
from tests.faults.test_parts_away import WEBSOCKET_ONLY, a_pair, says
from tests.support.node import Node
from tests.support.people import Rest
from tests.support.waiting import eventually

SPACE = SpaceKey("event", "redis-full")
PHOTO = SpaceKey("post", "alice/my-360-photo")
LEASES = 3  # times a lease's length that they stay inside, so that each was renewed


def is_of(sid: str, pose: Any) -> bool:
    return bool(pose["socketId"] == sid)


@asynccontextmanager
async def full(redis: Any) -> AsyncIterator[None]:
    """Redis uses more than it may from the beginning of the block to its end."""
    await redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        await redis.config_set("maxmemory", 0)


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Any]:
    async with Redis.from_url(stack.settings["PRESENCE_REDIS_URL"]) as client:
        yield client


async def test_a_full_redis_keeps_people_out_and_nobody_inside_notices(
    stack: Stack, rest: Rest, node: Node, redis: Any
) -> None:
    token = await rest.token("alice")
    near, far = await a_pair(stack, node, SPACE.space_id)
    leaver = await node.connect_to("r2", "leaver", stack.url, WEBSOCKET_ONLY)
    await leaver.join(SPACE.space_type, SPACE.space_id)
    newcomer = await node.connect("newcomer", stack.url, WEBSOCKET_ONLY)
    async with full(redis):
        for path, body in (
            ("/api/auth/challenge", {"account": "bob"}),
            ("/api/spaces/event/redis-full/join", {}),
            ("/api/spaces/event/nobody-was-here/join", {}),
            ("/api/auth/logout", {}),
        ):
            status, answer, headers = await rest.ask("POST", path, body, token)
            assert (status, answer["code"]) == (503, "unavailable"), path
            assert int(headers["Retry-After"]) > 0
        refused = await newcomer.emit("join-space", {"spaceType": SPACE.space_type, "spaceId": SPACE.space_id})
        assert refused["code"] == "unavailable"

        for speaker, listener in ((near, far), (far, near)):
            said = await says(speaker, f"{speaker.sid} says")
            await listener.wait_for("chat-message", partial(eq, said))
            await speaker.send("aframe-update", {"position": {"x": 5, "y": 0, "z": 0}})
            await listener.wait_for("aframe-update", partial(is_of, speaker.sid))

        begun = dict(await redis.zrange(cache.REPLICAS, 0, -1, withscores=True))

        async def renewed() -> bool:
            now = dict(await redis.zrange(cache.REPLICAS, 0, -1, withscores=True))
            return all(now.get(replica, 0) > lease + LEASES * 5000 for replica, lease in begun.items())

        await eventually(renewed, seconds=LEASES * 5 + 15)
        await leaver.disconnect()
        left = [(await client.wait_for("user-left")) for client in (near, far)]
        assert [user["socketId"] for user in left] == [leaver.sid, leaver.sid]
        stored = {json.loads(member)["socket_id"] for member in await redis.hvals(cache.members(SPACE))}
        assert stored == {near.sid, far.sid}
        for client in (near, far):
            assert len(client.received("user-left")) == 1
            assert client.received("disconnect") == []

    async def comes_in() -> bool:
        ack = await newcomer.emit("join-space", {"spaceType": SPACE.space_type, "spaceId": SPACE.space_id})
        return bool(ack["ok"])

    await eventually(comes_in)
    await near.wait_for("user-joined", lambda user: user["socketId"] == newcomer.sid)
    assert (await rest.login("bob"))["token"]


async def test_a_ban_takes_hold_in_a_full_redis(stack: Stack, rest: Rest, node: Node, redis: Any) -> None:
    owner = await rest.token("alice")
    troll = await node.connect("troll", stack.url, {**WEBSOCKET_ONLY, "auth": {"token": await rest.token("dave")}})
    await troll.join("post", "alice/my-360-photo")
    async with full(redis):
        before = int(await redis.get(cache.epoch(PHOTO)))
        await rest.post("/api/spaces/post/alice/my-360-photo/bans", {"account": "dave", "reason": "rude"}, owner)
        await troll.wait_for("kicked")

        async def raised() -> bool:
            return int(await redis.get(cache.epoch(PHOTO))) > before

        await eventually(raised, seconds=15)  # and with it every admission of the past is asked about again
    await rest.ask("DELETE", "/api/spaces/post/alice/my-360-photo/bans", {"account": "dave"}, owner)
