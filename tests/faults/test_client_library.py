"""What the library's users are promised, whichever process dies meanwhile."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.local.stack import Stack
from tests.support.library import LIBRARY, built
from tests.support.node import Node
from tests.support.people import Rest
from tests.support.waiting import line_with

COUNT = 400
DEATHS = {80: "r1", 160: "r2", 240: "chat", 320: "r1"}  # after so many messages
HAND_DEATHS = {80: "r1", 160: "r2", 240: "r1"}  # after so many changes of a thing


@asynccontextmanager
async def running(stack: Stack, hall: str, script: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    built()
    place = {"PRESENCE_URL": stack.url, "PRESENCE_SPACE": f"event:{hall}"}
    process = await asyncio.create_subprocess_exec(
        "node", f"test/live/{script}", *arguments,
        cwd=LIBRARY, env={**os.environ, **place}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_all_that_is_said_is_heard_once_and_in_order_while_processes_are_killed(stack: Stack, rest: Rest) -> None:
    async with running(stack, "library-numbers", "numbers.mjs", str(COUNT)) as process:
        for number, name in DEATHS.items():
            await line_with(process, f"said {number}\n".encode())
            await stack.kill(name)
            await stack.start_one(name)
        told = json.loads(await line_with(process, b'{"heard"'))
        assert await process.wait() == 0
    said = [str(number) for number in range(1, COUNT + 1)]
    assert told["heard"] == said
    assert {"Speaker away", "Listener away"} <= {*told["states"]}
    path = "/api/chat/event/library-numbers/messages?limit=200"
    newest = await rest.get(path)
    older = await rest.get(f"{path}&cursor={newest['next_cursor']}")
    assert [message["content"] for message in older["messages"] + newest["messages"]] == said


async def test_a_counter_that_is_held_for_each_change_is_exact_while_replicas_are_killed(stack: Stack) -> None:
    async with running(stack, "library-hands", "hands.mjs", "320") as process:
        for number, name in HAND_DEATHS.items():
            await line_with(process, f"now {number}\n".encode())
            await stack.kill(name)
            await stack.start_one(name)
        told = json.loads(await line_with(process, b'{"added"'))
        assert await process.wait() == 0
    assert {"away", "live"} <= {*told["states"]}
    assert [thing["state"] for thing in told["things"]] == [{"n": 320}], "late joiners and the others know the same"
    assert sum(told["added"]) == 320, told["added"]


async def test_what_a_program_held_that_is_killed_is_free(stack: Stack, node: Node) -> None:
    watcher = await node.connect("watcher", stack.url)
    await watcher.emit("join-space", {"spaceType": "event", "spaceId": "library-holder"})
    async with running(stack, "library-holder", "holder.mjs") as process:
        await line_with(process, b"holds")
        held = await watcher.wait_for("thing-held")
        process.kill()
        released = await watcher.wait_for("thing-released")
    assert (released["id"], released["version"] > held["version"]) == ("lamp", True)
