"""A database restored under a running stack: no number goes back, and nobody keeps what is no longer so."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from deploy.local.guardian import REPOSITORY
from deploy.local.stack import Stack
from tests.support.node import Client, Node
from tests.support.people import OPERATOR, Rest
from tests.support.servers import RunStack
from tests.support.waiting import eventually

SPACE = {"spaceType": "event", "spaceId": "restored"}
PLACE = "/api/spaces/event/restored"


async def command(settings: Mapping[str, str], *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.sync_worker",
        *words,
        cwd=REPOSITORY,
        env=settings,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def backup(stack: Stack) -> str:
    """The name of a backup made now, with the login of the process that makes them."""
    path, _, _ = (await command(stack.settings_of("backup"), "backup")).partition(":")
    return path.rpartition("/")[2]


async def restore(stack: Stack, file: str) -> None:
    """As `make restore` does it: with the owner's login, and Redis' administrator's."""
    await command(stack.settings, "restore", file)
    for name in ("r1", "r2"):
        await stack.stop_one(name)
        await stack.start_one(name)


async def says(client: Client, content: str) -> Any:
    async def tried() -> Any:
        return (await client.emit("chat-message", {"content": content, "client_message_id": content})).get("message")

    return await eventually(tried)


async def becomes_healthy(rest: Rest) -> None:
    """Raises `AssertionError` with the whole of `/api/health` when it does not."""
    health: Any = None

    async def is_healthy() -> bool:
        nonlocal health
        health = await rest.get("/api/health")
        return bool(health["status"] == "ok")

    try:
        await eventually(is_healthy)
    except AssertionError:
        raise AssertionError(health) from None


async def joins(client: Client, **more: Any) -> Any:
    """Joins until it may, as a client does; returns the snapshot."""

    async def tried() -> Any:
        return (await client.emit("join-space", SPACE | more)).get("ok")

    await eventually(tried)
    return client.received("space-joined")[-1]


async def test_who_was_inside_is_told_of_a_gap_and_numbers_go_on_above_what_they_saw(
    run_stack: RunStack, node: Node
) -> None:
    async with run_stack(PRESENCE_RATE_LIMIT_FACTOR="100") as stack, Rest(stack.url) as rest:
        token = await rest.token("alice")
        alice = await node.connect("alice", stack.url, {"auth": {"token": token}})
        await joins(alice)
        await says(alice, "before the backup")
        file = await backup(stack)
        lost = await says(alice, "after the backup")
        admission = (await rest.post(f"{PLACE}/join", {}, token))["session_token"]
        bob = await rest.token("bob")
        await rest.post(f"{PLACE}/bans", {"account": "bob", "reason": "rude"}, OPERATOR)
        assert (await rest.ask("POST", f"{PLACE}/join", {}, bob))[0] == 403

        await restore(stack, file)

        assert (await rest.ask("POST", f"{PLACE}/join", {}, bob))[0] == 200, "the ban is of after the backup"
        again = await node.connect("alice again", stack.url, {"auth": {"token": admission}})
        snapshot = await joins(again, after_seq=lost["seq"])
        assert snapshot["gap"] is True
        assert [message["content"] for message in snapshot["messages"]] == ["before the backup"]
        assert snapshot["seq"] > lost["seq"]
        said = await says(again, "after the restore")
        assert said["seq"] > snapshot["seq"] - 1 > lost["seq"]
        assert await again.wait_for("chat-message", lambda message: message["id"] == said["id"]) == said
        await rest.post("/api/admin/sync", {}, OPERATOR)  # the backup may be of before the first copy had ended
        await becomes_healthy(rest)
