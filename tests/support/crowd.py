"""Many people on the stock socket.io-client, in one Node process; what they must find out they find out by themselves.

async with crowd(stack.url, tokens, ("event", "square")) as people:
    ...                             # break something
    await eventually(people.are_right)
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.node import Node
from tests.support.waiting import eventually

SCRIPT = Path(__file__).with_name("crowd.mjs")


@dataclass(frozen=True)
class Picture:
    """How many there are, are inside, and know everybody; and, since they began: connections that were made, those that
    ended before their person was inside, CONNECT_ERRORs, and what nobody must ever be told."""

    people: int
    inside: int
    right: int
    connects: int
    turned_away: int
    refusals: list[Any]
    faults: list[str]


class Crowd:
    def __init__(self, node: Node) -> None:
        self._node = node

    async def picture(self) -> Picture:
        return Picture(**await self._node.ask("picture"))

    async def are_right(self) -> bool:
        """Returns whether all are inside and each knows exactly the others."""
        seen = await self.picture()
        return seen.right == seen.people


@asynccontextmanager
async def crowd(
    url: str, tokens: Sequence[str], space: tuple[str, str], options: dict[str, Any] | None = None
) -> AsyncIterator[Crowd]:
    """One a token, who begin to connect."""
    node = Node(SCRIPT)
    await node.start()
    try:
        await node.ask("begin", url=url, tokens=list(tokens), space=space, options=options)
        yield Crowd(node)
        await node.ask("end")
    finally:
        await node.stop()


@asynccontextmanager
async def settled_crowd(url: str, tokens: Sequence[str], space: tuple[str, str]) -> AsyncIterator[Crowd]:
    """Likewise, and all are inside."""
    async with crowd(url, tokens, space) as people:
        await eventually(people.are_right)
        yield people
