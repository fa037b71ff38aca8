"""What is said by the library is stored once and heard once, in order, whichever process dies meanwhile."""

import asyncio
import json
import os

from deploy.local.stack import Stack
from tests.support.library import LIBRARY, built
from tests.support.people import Rest
from tests.support.waiting import line_with

COUNT = 400
DEATHS = {80: "r1", 160: "r2", 240: "chat", 320: "r1"}  # after so many messages


async def test_all_that_is_said_is_heard_once_and_in_order_while_processes_are_killed(stack: Stack, rest: Rest) -> None:
    built()
    place = {"PRESENCE_URL": stack.url, "PRESENCE_SPACE": "event:library-numbers"}
    process = await asyncio.create_subprocess_exec(
        "node", "test/live/numbers.mjs", str(COUNT),
        cwd=LIBRARY, env={**os.environ, **place}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        for number, name in DEATHS.items():
            await line_with(process, f"said {number}\n".encode())
            await stack.kill(name)
            await stack.start_one(name)
        told = json.loads(await line_with(process, b'{"heard"'))
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = [str(number) for number in range(1, COUNT + 1)]
    assert told["heard"] == said
    assert {"Speaker away", "Listener away"} <= {*told["states"]}
    path = "/api/chat/event/library-numbers/messages?limit=200"
    newest = await rest.get(path)
    older = await rest.get(f"{path}&cursor={newest['next_cursor']}")
    assert [message["content"] for message in older["messages"] + newest["messages"]] == said
