"""Real socket.io-client sockets in a Node process, driven from a test.

client = await node.connect("alice", url, {"transports": ["websocket"]})
ack = await client.emit("join-space", {...})
message = await client.wait_for("chat-message", lambda m: m["content"] == "hello")
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.local.guardian import REPOSITORY
from tests.support.contract import fault_of_ack, fault_of_event, fault_of_taken
from tests.support.waiting import eventually

ROBOT = Path(__file__).with_name("robot.mjs")
WAIT_SECONDS = 20.0
MAX_LINE = 64 * 1024 * 1024

type Test = Callable[[Any], bool]


class Client:
    """One socket. `events` is everything it received, in order, as (name, data)."""

    def __init__(self, node: "Node", name: str) -> None:
        self._node, self._name = node, name
        self.events: list[tuple[str, Any]] = []
        self._arrived = asyncio.Condition()

    @property
    def sid(self) -> str:
        """The socket id of the newest connection."""
        return str(self.received("connect")[-1]["sid"])

    def received(self, event: str) -> list[Any]:
        return [data for name, data in self.events if name == event]

    async def arrive(self, event: str, data: Any) -> None:
        self._node.note(fault_of_event(event, data))
        async with self._arrived:
            self.events.append((event, data))
            self._arrived.notify_all()

    async def wait_for(self, event: str, test: Test = lambda _: True, *, count: int = 1) -> Any:
        """The `count`-th event of that name that passes `test`, whether it came already or is to come."""

        def found() -> list[Any]:
            return [data for data in self.received(event) if test(data)]

        try:
            async with asyncio.timeout(WAIT_SECONDS), self._arrived:
                await self._arrived.wait_for(lambda: len(found()) >= count)
        except TimeoutError:
            seen = [name for name, _ in self.events]
            raise AssertionError(f"{self._name} has {len(found())} of {count} {event}; it received {seen}") from None
        return found()[count - 1]

    async def emit(self, event: str, payload: Any = None, timeout: float = 10.0) -> Any:
        """Emit and give back the ack."""
        ack = await self._node.ask("emit", name=self._name, event=event, payload=payload, timeout=timeout * 1000)
        self._node.note(fault_of_ack(event, ack) or (fault_of_taken(event, payload) if ack["ok"] else None))
        return ack

    async def burst(self, event: str, payloads: list[Any], timeout: float = 60.0) -> list[Any]:
        """Emit all at once; the acks, in order."""
        found: list[Any] = await self._node.ask(
            "burst", name=self._name, event=event, payloads=payloads, timeout=timeout * 1000
        )
        return found

    async def pour(self, event: str, payloads: list[Any], window: int = 16, timeout: float = 5.0) -> list[Any]:
        """Emit all, a window at a time, each again until it is acknowledged; the acks, in order."""
        found: list[Any] = await self._node.ask(
            "pour", name=self._name, event=event, payloads=payloads, window=window, timeout=timeout * 1000
        )
        return found

    async def send(self, event: str, payload: Any) -> None:
        """Emit without asking for an ack."""
        await self._node.ask("send", name=self._name, event=event, payload=payload)

    async def raw(self, text: str) -> None:
        """Write an Engine.IO message as it is."""
        await self._node.ask("raw", name=self._name, text=text)

    async def disconnect(self) -> None:
        await self._node.ask("disconnect", name=self._name)

    async def join(self, space_type: str, space_id: str, **more: Any) -> Any:
        """Enters a space and returns the snapshot with the ack, which must be good."""
        ack = await self.emit("join-space", {"spaceType": space_type, "spaceId": space_id, **more})
        assert ack["ok"], ack
        return {**self.received("space-joined")[-1], **ack}


class Node:
    """The process. `connect` makes clients in it. `is_held`: what they send and hear is held to AsyncAPI."""

    def __init__(self, script: Path = ROBOT, *arguments: str, is_held: bool = True) -> None:
        self._is_held = is_held
        self._command = ("node", str(script), *arguments)
        self._process: asyncio.subprocess.Process | None = None
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._clients: dict[str, Client] = {}
        self._reader: asyncio.Task[None] | None = None
        self._faults: list[str] = []

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, cwd=REPOSITORY, limit=MAX_LINE
        )
        self._reader = asyncio.create_task(self._read())

    async def stop(self) -> None:
        assert self._process
        assert self._process.stdin
        self._process.stdin.close()
        await self._process.wait()
        if self._reader:
            await self._reader
        assert self._faults == [], "what servers send is as AsyncAPI says"

    def note(self, fault: str | None) -> None:
        """Takes what is not as AsyncAPI says, for the end."""
        if fault and self._is_held:
            self._faults.append(fault)

    async def connect(self, name: str, url: str, options: dict[str, Any] | None = None) -> Client:
        """A connected client. Raises `ConnectionRefusedError` with the server's reason."""
        client = await self.begin(name, url, options)
        first = asyncio.ensure_future(client.wait_for("connect"))
        refused = asyncio.ensure_future(client.wait_for("connect_error"))
        await asyncio.wait([first, refused], return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            first.cancel()
            raise ConnectionRefusedError(refused.result())
        refused.cancel()
        return client

    async def begin(self, name: str, url: str, options: dict[str, Any] | None = None) -> Client:
        """A client that begins to connect."""
        client = self._clients[name] = Client(self, name)
        await self.ask("connect", name=name, url=url, options=options or {})
        return client

    async def connect_to(self, replica: str, name: str, url: str, options: dict[str, Any] | None = None) -> Client:
        """A client on that replica: Caddy deals connections out in turn, so ask until it is dealt.

        For as long as it takes: Caddy leaves a replica that was just restarted alone for some seconds.
        """
        numbers = itertools.count()

        async def dealt() -> Client | None:
            client = await self.connect(f"{name}-{next(numbers)}", url, options)
            if client.sid.startswith(f"{replica}-"):
                return client
            await client.disconnect()
            return None

        client: Client = await eventually(dealt)
        return client

    async def ask(self, command: str, **parameters: Any) -> Any:
        assert self._process
        assert self._process.stdin
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(msgspec.json.encode({"id": number, "command": command, **parameters}) + b"\n")
        await self._process.stdin.drain()
        return await answer

    async def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        async for line in self._process.stdout:
            message = msgspec.json.decode(line)
            if "id" in message:
                self._settle(self._answers.pop(message["id"]), message)
            else:
                await self._clients[message["name"]].arrive(message["event"], message.get("data"))

    @staticmethod
    def _settle(answer: asyncio.Future[Any], message: dict[str, Any]) -> None:
        if "failure" in message:
            answer.set_exception(AssertionError(message["failure"]))
        else:
            answer.set_result(message.get("result"))


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A Node process of the test's own."""
    process = Node()
    await process.start()
    yield process
    await process.stop()
