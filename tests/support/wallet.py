"""The wallet script of dlux.io in a Node process, and Keychain, which signs for it.

wallet = Wallet(node, url)
joined = await wallet.join("alice", "post", "bob/sculpture-hall")
room = await wallet.enter("alice", joined)
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.keys import sign_text
from tests.support.node import Client, Node

SCRIPT = Path(__file__).with_name("wallet.mjs")


class Wallet:
    """One process; any number of accounts and rooms."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def challenge(self, *, age: float = 0) -> str:
        """A challenge of the script's own making, so many seconds old."""
        made: str = await self._node.ask("challenge", age=age * 1000)
        return made

    async def join(
        self, url: str, account: str, space: str, *, form: str = "body", challenge: str = "", signer: str = ""
    ) -> Any:
        """Signs and joins `type:id`; the answer's body, with its `status`."""
        text = challenge or await self.challenge()
        signature = sign_text(signer or account, text)
        signed = {"account": account, "challenge": text, "signature": signature}
        return await self._node.ask("join", url=url, space=space.replace(":", "/"), form=form, **signed)

    async def enter(self, name: str, joined: Any) -> Client:
        """Dials the answer's `websocket_url` as it is, and enters the space that was joined; there once it was told."""
        space = joined["space"]
        first = {"type": "join-space", "spaceType": space["space_type"], "spaceId": space["space_id"]}
        token = {"token": joined["session_token"]} if "session_token" in joined else {}
        client = await self._node.begin(name, joined["websocket_url"], {"first": {**first, **token}})
        await client.wait_for("space-joined")
        return client

    async def say(self, name: str, kind: str, **fields: Any) -> None:
        await self._node.ask("say", name=name, message={"type": kind, **fields})

    async def hang_up(self, name: str) -> None:
        await self._node.ask("hang_up", name=name)


@pytest.fixture
async def wallet() -> AsyncIterator[Wallet]:
    process = Node(SCRIPT, is_held=False)
    await process.start()
    yield Wallet(process)
    await process.stop()
