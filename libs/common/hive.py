"""Asking Hive nodes: JSON-RPC 2.0 over several of them, within one deadline.

    hive = HiveClient(("https://api.hive.blog", "https://api.deathwing.me"), timeout=4.0)
    post = await hive.call("bridge.get_post", {"author": "alice", "permlink": "my-360-photo"})

The nodes are public and none of them is dependable. A node that does not answer, answers badly or says
that it cannot answer is passed over for the next one and cools down: for a while it is asked last.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import aiohttp
import msgspec
import structlog

from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.settings import setting

_log = structlog.get_logger(__name__)
COOL_DOWN = 30.0  # seconds for which a bad node is asked last
LARGEST_ANSWER = 8 * 1024 * 1024  # bytes; a popular post with all its votes is about one megabyte
# The node's own trouble (JSON-RPC 2.0: method not found, internal error), not an answer about the chain.
NODE_FAULTS = frozenset({-32601, -32603})


@dataclass(frozen=True)
class HiveSettings:
    """The settings of a process that asks Hive; mix it into its `Settings`."""

    hive_nodes: tuple[str, ...] = setting(
        "PRESENCE_HIVE_NODES",
        ["https://api.hive.blog", "https://api.deathwing.me", "https://hive-api.arcange.eu"],
        "Hive API nodes, comma-separated, in the order in which they are asked.",
    )
    hive_timeout: float = setting(
        "PRESENCE_HIVE_TIMEOUT_SECONDS", 4.0, "How long one question to Hive may take, all nodes together."
    )


class HiveError(Exception):
    """A node's answer was a JSON-RPC error: the question is wrong, or what it asks for does not exist."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code, self.text = code, text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HiveError) and other.code == self.code

    def __hash__(self) -> int:
        return hash(self.code)


class _BadNode(Exception):
    """This node gave nothing that can be used; another may."""


_FAILURES = (_BadNode, aiohttp.ClientError, OSError, TimeoutError, ValueError)


class HiveClient:
    """A component (`start`, `stop`) that asks `nodes`, the first healthy one first.

    `timeout` is the deadline of a call in seconds; a hanging node gets its even share of what is left.
    """

    def __init__(self, nodes: Sequence[str], timeout: float = 4.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._nodes = tuple(nodes)
        self._timeout = timeout
        self._clock = clock
        self._cooling: dict[str, float] = {}  # node → when it is as good as the others again
        self._ids = count(1)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the session; connections follow when first needed."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))

    async def stop(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    async def call(self, method: str, params: Any) -> Any:
        """The `result` of the first node that answers.

        Raises `HiveError` for a JSON-RPC error and `unavailable` when no node answers in time.
        """
        deadline = self._clock() + self._timeout
        nodes = self._in_order()
        for position, node in enumerate(nodes):
            share = (deadline - self._clock()) / (len(nodes) - position)
            if share <= 0:
                break
            try:
                result = await self._ask(node, method, params, share)
            except _FAILURES as error:
                self._cool_down(node, method, error)
            else:
                self._cooling.pop(node, None)
                return result
        raise PresenceError(UNAVAILABLE, "No Hive node answers.")

    async def agreed[Answer](self, method: str, params: Any, read: Callable[[Any], Answer], nodes: int) -> Answer:
        """Returns `read` of the result that so many nodes give alike (fewer, where fewer are configured).

        They are asked side by side, and one more for each that failed or differs. Raises `HiveError` where so many
        say so, and `unavailable` when no answer was given so often in time. `read` may raise `PresenceError`: that
        node gave none.
        """
        wanted, order = min(nodes, len(self._nodes)), self._in_order()
        deadline = self._clock() + self._timeout
        answers: list[Answer | HiveError] = []
        while order and (share := deadline - self._clock()) > 0:
            best = max((answers.count(answer) for answer in answers), default=0)
            now, order = order[: wanted - best], order[wanted - best :]
            seconds = share if not order else share / 2
            outcomes = await asyncio.gather(*(self._answer(node, method, params, read, seconds) for node in now))
            answers += [answer[0] for answer in outcomes if answer]
            for answer in answers:
                if answers.count(answer) >= wanted:
                    if isinstance(answer, HiveError):
                        raise answer
                    return answer
        raise PresenceError(UNAVAILABLE, "No Hive node answers." if not answers else "The Hive nodes do not agree.")

    async def _answer[Answer](
        self, node: str, method: str, params: Any, read: Callable[[Any], Answer], seconds: float
    ) -> tuple[Answer | HiveError] | None:
        try:
            result = read(await self._ask(node, method, params, seconds))
        except HiveError as error:
            return (error,)
        except (*_FAILURES, PresenceError) as error:
            self._cool_down(node, method, error)
            return None
        self._cooling.pop(node, None)
        return (result,)

    def _in_order(self) -> list[str]:
        """Healthy nodes as configured, then cooling ones: the longest rested first."""
        now = self._clock()
        return sorted(self._nodes, key=lambda node: max(self._cooling.get(node, 0.0) - now, 0.0))

    def _cool_down(self, node: str, method: str, error: Exception) -> None:
        now = self._clock()
        if self._cooling.get(node, now) <= now:  # not again for each question that it fails meanwhile
            _log.warning("hive node failed", node=node, method=method, error=f"{type(error).__name__}: {error}")
        self._cooling[node] = now + COOL_DOWN

    async def _ask(self, node: str, method: str, params: Any, seconds: float) -> Any:
        question = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        if self._session is None:
            raise RuntimeError("HiveClient is not started")
        async with asyncio.timeout(seconds):
            # A redirect is a node that moved or a captive page: neither answers JSON-RPC.
            async with self._session.post(node, json=question, allow_redirects=False) as response:
                if response.status != 200:
                    raise _BadNode(f"HTTP {response.status}")
                return _result(await _read(response.content), question["id"])


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """The whole body, or `_BadNode` as soon as it is too large."""
    body = bytearray()
    async for chunk in stream.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise _BadNode("the answer is too large")
    return bytes(body)


def _result(body: bytes, identifier: object) -> Any:
    """`result` of a JSON-RPC answer to `identifier`. Raises `HiveError` or `_BadNode`."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.MsgspecError as error:
        raise _BadNode("not JSON") from error
    if not isinstance(answer, dict) or answer.get("id") != identifier:
        raise _BadNode("not an answer to this question")
    if answer.get("error"):
        raise _error(answer["error"])
    if "result" not in answer:
        raise _BadNode("neither result nor error")
    return answer["result"]


def _error(error: object) -> Exception:
    code = error.get("code") if isinstance(error, dict) else None
    if not isinstance(error, dict) or not isinstance(code, int) or code in NODE_FAULTS:
        return _BadNode(f"JSON-RPC error {code}")
    return HiveError(code, str(error.get("message", "")))
