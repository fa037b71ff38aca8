"""The bus inside one process, for unit tests: the same promises, no durability.

Buses that share a `MemoryBroker` see each other, as processes that share a RabbitMQ do. Everything is
encoded and decoded on the way.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from libs.common.bus import topology
from libs.common.bus.base import BusUnavailable, Caller, Consumer, Handler, Written
from libs.common.bus.codec import (
    WIRE_VERSION,
    UnknownShape,
    answer_call,
    decode_events,
    encode_call,
    encode_events,
    read_reply,
    reply_of,
)
from libs.common.bus.delivery import Outcome, deliver
from libs.common.bus.senders import OPERATORS_EDGE
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Operation
from libs.common.metrics import EVENTS_HANDLED

type _Sent = tuple[bytes, int]  # events, and the wire version that they are in


class MemoryBroker:
    """Queues of one installation. `dead` holds what consumers gave up on, by group."""

    def __init__(self, later_seconds: float = topology.LATER_SECONDS) -> None:
        self.later_seconds = later_seconds
        self.servers: dict[str, list[MemoryBus]] = defaultdict(list)
        self.queues: dict[str, asyncio.Queue[_Sent]] = {g: asyncio.Queue() for g in topology.EVENT_GROUPS}
        self.dead: dict[str, list[LoggedEvent]] = defaultdict(list)
        self.running = True


class MemoryBus:
    """See `base.Bus`. `user` is the service that it belongs to; without one, in tests, who calls is believed."""

    def __init__(self, broker: MemoryBroker, user: str | None = None) -> None:
        self._broker = broker
        self._user = user
        self._handlers: dict[str, tuple[Operation[Any, Any], Handler[Any, Any]]] = {}
        self._consumers: list[tuple[str, Consumer, int]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for name in self._handlers:
            self._broker.servers[name].append(self)
        for group, consumer, concurrency in self._consumers:
            self._tasks += [asyncio.create_task(self._consume(group, consumer)) for _ in range(concurrency)]

    async def stop(self) -> None:
        for name in self._handlers:
            self._broker.servers[name].remove(self)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def check(self) -> None:
        if not self.ready:
            raise BusUnavailable("The broker is away.")

    @property
    def ready(self) -> bool:
        return self._broker.running

    def serve[Request, Reply](self, operation: Operation[Request, Reply], handler: Handler[Request, Reply]) -> None:
        self._handlers[operation.name] = (operation, handler)

    def subscribe(self, group: str, consumer: Consumer, *, concurrency: int = 32) -> None:
        self._consumers.append((group, consumer, concurrency))

    async def call[Request, Reply](
        self, operation: Operation[Request, Reply], request: Request, caller: Caller, *, timeout: float | None = None
    ) -> Reply:
        return read_reply(operation, await self.call_for_json(operation, request, caller, timeout=timeout))

    async def call_for_json[Request](
        self, operation: Operation[Request, Any], request: Request, caller: Caller, *, timeout: float | None = None
    ) -> Written:
        body = encode_call(operation, request, caller)
        sender = self._user or believed(caller)
        servers = self._broker.servers[operation.name]
        if not self._broker.running or not servers:
            raise BusUnavailable
        servers.append(servers.pop(0))
        try:
            async with asyncio.timeout(timeout or operation.timeout):
                answer = await answer_call(servers[-1]._handlers, body, sender)  # noqa: SLF001  a bus like this one
        except TimeoutError as error:
            raise BusUnavailable("Nobody answered in time.") from error
        return reply_of(operation, answer)

    async def publish(self, *events: LoggedEvent) -> None:
        if not self._broker.running:
            raise BusUnavailable
        sent = encode_events(events), WIRE_VERSION
        for queue in self._broker.queues.values():
            queue.put_nowait(sent)

    async def _consume(self, group: str, consumer: Consumer) -> None:
        queue = self._broker.queues[group]
        while True:
            sent = await queue.get()
            done = False
            try:
                await self._deliver(group, consumer, decode_events(*sent))
                done = True
            except UnknownShape:
                EVENTS_HANDLED.labels(group, "later").inc()
                asyncio.get_running_loop().call_later(self._broker.later_seconds, queue.put_nowait, sent)
                done = True
            finally:
                if not done:  # cancelled on the way: the events are nobody's yet
                    with contextlib.suppress(asyncio.QueueFull):
                        queue.put_nowait(sent)

    async def _deliver(self, group: str, consumer: Consumer, events: Sequence[LoggedEvent]) -> None:
        for _ in range(topology.DELIVERY_LIMIT + 1):
            outcome = await deliver(consumer, events)
            if outcome is Outcome.DONE:
                return
            if len(events) > 1:
                for event in events:
                    self._broker.queues[group].put_nowait((encode_events([event]), WIRE_VERSION))
                return
            if outcome is Outcome.DEAD:
                break
        self._broker.dead[group] += events


def believed(caller: Caller) -> str:
    """The user that a process has whose calls are in this name."""
    return caller.identity.id if caller.identity.id in topology.CALLERS else OPERATORS_EDGE
