"""What docs/operations.md says of each backing service that goes and comes back, and of a replica that is stopped."""

import asyncio
from typing import Any

from deploy.local.servers.postgres import Postgres
from deploy.local.servers.rabbitmq import RabbitMQ
from deploy.local.servers.redis import Redis
from deploy.local.stack import Stack
from tests.support.node import Client, Node
from tests.support.people import Rest
from tests.support.waiting import eventually
from tests.support.whole import leave_reason

WEBSOCKET_ONLY = {"transports": ["websocket"]}


async def a_pair(stack: Stack, node: Node, space: str) -> tuple[Client, Client]:
    near = await node.connect_to("r1", f"near {space}", stack.url, WEBSOCKET_ONLY)
    far = await node.connect_to("r2", f"far {space}", stack.url, WEBSOCKET_ONLY)
    await near.join("event", space)
    await far.join("event", space)
    await near.wait_for("user-joined", lambda user: user["socketId"] == far.sid)
    return near, far


async def connected(rest: Rest, space: str) -> int:
    status, body, _ = await rest.ask("GET", f"/api/spaces/event/{space}")
    return len(body["connected_users"]) if status == 200 else 0


async def says(client: Client, content: str) -> Any:
    """Send until it is acknowledged, as a client does; the message."""

    async def tried() -> Any:
        ack = await client.emit("chat-message", {"content": content, "client_message_id": content})
        return ack.get("message")

    return await eventually(tried)


async def test_redis_gone_and_back(stack: Stack, rest: Rest, node: Node, redis_server: Redis) -> None:
    near, far = await a_pair(stack, node, "redis-gone")
    await redis_server.stop()
    try:
        refused = await near.emit("join-space", {"spaceType": "event", "spaceId": "elsewhere"})
        assert refused["code"] == "unavailable"
        status, body, _ = await rest.ask("POST", "/api/spaces/event/redis-gone/join", {})
        assert (status, body["code"]) == (503, "unavailable")
        during = await says(near, "said while Redis was away")
    finally:
        await redis_server.start()
    for client in (near, far):
        assert await client.wait_for("chat-message") == during
    await eventually(lambda: connected(rest, "redis-gone"), seconds=30)
    newcomer = await node.connect("newcomer", stack.url, WEBSOCKET_ONLY)

    async def sees_both() -> bool:
        ack = await newcomer.emit("join-space", {"spaceType": "event", "spaceId": "redis-gone"})
        if not ack["ok"]:
            return False
        return {user["socketId"] for user in newcomer.received("space-joined")[-1]["users"]} == {near.sid, far.sid}

    await eventually(sees_both)
    await near.send("aframe-update", {"position": {"x": 5, "y": 0, "z": 0}})
    await far.wait_for("aframe-update", lambda pose: pose["socketId"] == near.sid)
    after = await says(far, "and after")
    for client in (near, far):
        await client.wait_for("chat-message", lambda m: m["id"] == after["id"])
        assert client.received("disconnect") == [], "sockets stayed up"
        assert [m["content"] for m in client.received("chat-message")] == ["said while Redis was away", "and after"]


async def test_spawned_entities_outlive_redis(stack: Stack, node: Node, redis_server: Redis) -> None:
    """Which keeps nothing over a restart; a replica that comes after it has nowhere else to read it from."""
    near, far = await a_pair(stack, node, "spawned")
    await spawn(near, "before")
    await spawn(near, "removed")
    await spawn(far, "far")
    await near.wait_for("entity-event")
    await redis_server.stop()
    try:
        await spawn(near, "meanwhile")
        assert (await near.emit("entity-event", {"name": "remove", "data": {"id": "removed"}}))["ok"]
    finally:
        await redis_server.start()
    for replica in ("r1", "r2"):
        await sees_spawned(stack, node, replica, {"before", "meanwhile", "far"})
    await far.disconnect()
    await stack.stop_one("r2")
    await stack.start_one("r2")
    await sees_spawned(stack, node, "r2", {"before", "meanwhile"})


async def sees_spawned(stack: Stack, node: Node, replica: str, names: set[str]) -> None:
    """A newcomer on that replica, soon."""
    newcomer = await node.connect_to(replica, f"newcomer {names}", stack.url, WEBSOCKET_ONLY)

    async def right() -> bool:
        ack = await newcomer.emit("join-space", {"spaceType": "event", "spaceId": "spawned"})
        if not ack["ok"]:
            return False
        return {entity["data"]["id"] for entity in newcomer.received("space-joined")[-1]["entities"]} == names

    await eventually(right)
    await newcomer.disconnect()


async def spawn(client: Client, name: str) -> None:
    assert (await client.emit("entity-event", {"name": "spawn", "data": {"id": name}}))["ok"]


async def test_a_broker_that_is_short_of_disk_is_named_and_nothing_else_is(
    rest: Rest, rabbitmq_server: RabbitMQ
) -> None:
    async def at_fault(*parts: str) -> bool:
        _, body, _ = await rest.ask("GET", "/api/health")
        return bool(body["at_fault"] == list(parts))

    await eventually(at_fault)
    await asyncio.to_thread(rabbitmq_server.control, "set_disk_free_limit", "900000GB")
    try:
        await eventually(lambda: at_fault("rabbitmq"))
    finally:
        await asyncio.to_thread(rabbitmq_server.control, "set_disk_free_limit", "50MB")
    await eventually(at_fault)


async def test_postgres_gone_and_back(stack: Stack, rest: Rest, node: Node, postgres_server: Postgres) -> None:
    near, far = await a_pair(stack, node, "postgres-gone")
    await postgres_server.stop()
    try:
        refused = await near.emit("chat-message", {"content": "nowhere to keep it", "client_message_id": "kept"})
        assert refused["code"] == "unavailable"

        async def health_tells() -> bool:
            return (await rest.ask("GET", "/api/health"))[0] == 503

        await eventually(health_tells)  # once its picture of the last second is over
        await near.send("aframe-update", {"position": {"x": 1, "y": 2, "z": 3}})
        await far.wait_for("aframe-update", lambda pose: pose["socketId"] == near.sid)
    finally:
        await postgres_server.start()
    message = await says(near, "kept")
    assert await far.wait_for("chat-message") == message
    assert near.received("disconnect") == far.received("disconnect") == []


async def test_a_replica_that_is_stopped_says_so_and_nobody_waits_for_a_lease(stack: Stack, node: Node) -> None:
    near, far = await a_pair(stack, node, "draining")
    before = near.sid
    await stack.stop_one("r1")
    try:
        assert (await near.wait_for("server-draining"))["retryAfter"] > 0
        left = await far.wait_for("user-left")
        assert (left["socketId"], left["reason"]) == (before, "disconnected"), "it left; its server was not lost"
    finally:
        await stack.start_one("r1")


async def test_spaces_auth_gone_and_back(stack: Stack, rest: Rest, node: Node) -> None:
    near, far = await a_pair(stack, node, "auth-gone")
    await stack.kill("spaces_auth")
    try:
        message = await says(near, "said while nobody could log in")
        assert await far.wait_for("chat-message") == message
        await near.send("aframe-update", {"position": {"x": 1, "y": 2, "z": 3}})
        await far.wait_for("aframe-update", lambda pose: pose["socketId"] == near.sid)
        refused = await near.emit("join-space", {"spaceType": "event", "spaceId": "elsewhere"})
        assert refused["code"] == "unavailable"
        await near.disconnect()
        await far.wait_for("user-left")
    finally:
        await stack.start_one("spaces_auth")
    assert await rest.token("alice")
    await eventually(lambda: leave_reason(stack, near.sid))
