"""The three JavaScript snippets that front ends of DLUX were given first, run unchanged but for the host."""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local.guardian import REPOSITORY
from deploy.local.stack import Stack
from tests.support.node import Node
from tests.support.people import OPERATOR, Rest

SEED = Path(__file__).parent / "seed"
SECONDS = 20.0


def snippet(name: str, stack: Stack) -> str:
    text = (SEED / f"{name}.js").read_text()
    return text.replace("https://presence.dlux.io", stack.url).replace(
        "wss://presence.dlux.io", stack.url.replace("http", "ws")
    )


async def run(script: str) -> Any:
    """Run it as a module in Node; what it prints last, decoded."""
    process = await asyncio.create_subprocess_exec(
        "node", "--input-type=module", "-e", script, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    return json.loads(out.splitlines()[-1])


async def test_discovery(stack: Stack) -> None:
    spaces = await run(snippet("discovery", stack) + "\nconsole.log(JSON.stringify(spaces));")
    assert spaces[0]["space_id"] == "lobby"
    assert {"post", "document", "global"} >= {space["space_type"] for space in spaces}
    assert all({"space_id", "active_users", "settings"} <= space.keys() for space in spaces)


async def test_join(stack: Stack, rest: Rest) -> None:
    token = await rest.token("alice")
    given = f"const type = 'post', id = 'alice/my-360-photo', hiveSignature = {json.dumps(token)};\n"
    shown = "\nconsole.log(JSON.stringify({ turn_credentials, websocket_url }));"
    answer = await run(given + snippet("join", stack) + shown)
    assert answer["websocket_url"] == stack.url.replace("http", "ws")
    assert answer["turn_credentials"]["username"].endswith(":alice")


@pytest.fixture
async def the_seeds_post(stack: Stack, rest: Rest) -> None:
    """`author/permlink` is the post that the snippet enters: the primary has it, and a sync brings it."""
    connection = await asyncpg.connect(stack.settings["PRESENCE_PRIMARY_URL"])
    await connection.execute(
        "INSERT INTO posts (author, permlink, block, type) VALUES ('author', 'permlink', 90000000, 'aframe')"
    )
    await connection.close()
    await rest.post("/api/admin/sync", {}, OPERATOR)


@pytest.mark.usefixtures("the_seeds_post")
async def test_realtime(stack: Stack, node: Node) -> None:
    watcher = await node.connect("watcher", stack.url, {"transports": ["websocket"]})
    await watcher.join("post", "author/permlink")
    ends = """
        function addUserToVRScene(user) { console.log(JSON.stringify(user)); process.exit(0); }
    """
    running = asyncio.ensure_future(run(snippet("realtime", stack) + ends))
    seen = await watcher.wait_for("user-joined")
    assert (seen["userAccount"], seen["guest"]) == (None, True), "a claimed account is nobody's proof"
    message = await watcher.wait_for("chat-message")
    assert (message["content"], message["user_account"]) == ("Hello from VR!", None)
    other = await node.connect("other", stack.url, {"transports": ["websocket"]})
    await other.join("post", "author/permlink")
    assert (await running)["socketId"] == other.sid
