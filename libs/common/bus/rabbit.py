"""The bus over RabbitMQ (3.10 to 4.x), on aio-pika's plain connection.

A supervisor task owns the connection: connect, look whether the broker has what `topology` names, attach consumers,
wait until anything breaks, begin again. That is all of the recovery: whatever the reason, a broken consumer, a channel
error or a lost broker, everything is rebuilt from what was declared, and the calls still waiting are sent again.

Every message carries the user of its connection, which the broker checks: who serves knows which process asks, and who
asks knows which one answered.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import aio_pika
import structlog
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractQueue,
)
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError

from libs.common.bus import topology
from libs.common.bus.base import BusUnavailable, Caller, Consumer, Handler, Written
from libs.common.bus.codec import AskAgain, UnknownShape, answer_call, encode_call, read_reply, reply_of
from libs.common.bus.delivery import Outcome, deliver
from libs.common.bus.event_messages import events_of, for_later, message_of
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Operation
from libs.common.errors import PresenceError
from libs.common.ids import new_id
from libs.common.metrics import BUS_CALLS, BUS_CONNECTS, EVENTS_HANDLED

_log = structlog.get_logger(__name__)
BLOCKED_SECONDS = 0.1  # a connection that the broker holds up stays so for longer
CONNECT_TIMEOUT = 5.0
CONFIRM_TIMEOUT = 5.0
HEARTBEAT = 10  # seconds; a broker that vanished without a word is noticed within two
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # between connection attempts
ASK_AGAIN_PAUSE = 0.2  # seconds before a call goes to another process
_BROKEN = (AMQPError, ConnectionError, OSError, TimeoutError, RuntimeError)


@dataclass(slots=True)
class _PendingCall:
    operation: Operation[Any, Any]
    body: bytes
    deadline: float  # of `time.monotonic`
    answer: asyncio.Future[bytes]


@dataclass(slots=True)
class _Link:
    """The channels, queues and replies of one connection; they live as long as it does."""

    connection: AbstractConnection
    calls: AbstractExchange
    events: AbstractExchange
    replies: AbstractQueue | None  # of a caller
    publishing: AbstractChannel
    answering: AbstractExchange
    broken: asyncio.Event
    consuming: list[tuple[AbstractQueue, str]]


class RabbitBus:
    """See `base.Bus`. `name` is shown in the broker's list of connections; the URL's user is the service."""

    def __init__(self, url: str, name: str, later_seconds: float = topology.LATER_SECONDS) -> None:
        self._url = url
        self._name = name
        self._later_seconds = later_seconds
        self._user = user_of(url)
        self._handlers: dict[str, tuple[Operation[Any, Any], Handler[Any, Any]]] = {}
        self._consumers: list[tuple[str, Consumer, int]] = []
        self._pending: dict[str, _PendingCall] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._link: _Link | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._draining = False

    def serve[Request, Reply](self, operation: Operation[Request, Reply], handler: Handler[Request, Reply]) -> None:
        self._handlers[operation.name] = (operation, handler)

    def subscribe(self, group: str, consumer: Consumer, *, concurrency: int = 32) -> None:
        self._consumers.append((group, consumer, concurrency))

    async def check(self) -> None:
        if self._link is None:
            raise BusUnavailable("The broker is away.")
        transport = self._link.connection.transport
        try:
            async with asyncio.timeout(BLOCKED_SECONDS):
                if transport:
                    await transport.connection.ready()
        except TimeoutError as error:
            raise BusUnavailable("The broker takes nothing: it is short of disk or memory.") from error

    @property
    def ready(self) -> bool:
        return self._link is not None and not self._draining

    async def start(self) -> None:
        self._supervisor = asyncio.create_task(self._supervise())

    async def drain(self) -> None:
        """Take no new calls and events; finish those in progress."""
        self._draining = True
        if self._link:
            for queue, tag in self._link.consuming:
                with contextlib.suppress(*_BROKEN):
                    await queue.cancel(tag)
        if self._working:
            await asyncio.wait(self._working)

    async def stop(self) -> None:
        await self.drain()
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)

    async def call[Request, Reply](
        self, operation: Operation[Request, Reply], request: Request, caller: Caller, *, timeout: float | None = None
    ) -> Reply:
        return read_reply(operation, await self.call_for_json(operation, request, caller, timeout=timeout))

    async def call_for_json[Request](
        self, operation: Operation[Request, Any], request: Request, caller: Caller, *, timeout: float | None = None
    ) -> Written:
        started, timeout = time.monotonic(), timeout or operation.timeout
        pending = _PendingCall(
            operation,
            encode_call(operation, request, caller),
            started + timeout,
            asyncio.get_running_loop().create_future(),
        )
        code = "ok"
        try:
            return await self._ask(pending, operation, timeout)
        except PresenceError as error:
            code = error.kind.code
            raise
        finally:
            BUS_CALLS.labels(operation.name, code).observe(time.monotonic() - started)

    async def _ask(self, pending: _PendingCall, operation: Operation[Any, Any], timeout: float) -> Written:
        correlation_id, unknown = new_id(), None
        self._pending[correlation_id] = pending
        try:
            async with asyncio.timeout(timeout):
                while True:
                    if self._link:
                        await self._send_call(self._link, correlation_id, pending)
                    try:
                        return reply_of(operation, await pending.answer)
                    except AskAgain as error:
                        unknown = error
                        await asyncio.sleep(ASK_AGAIN_PAUSE)
                        pending.answer = asyncio.get_running_loop().create_future()
        except TimeoutError as error:
            raise unknown or BusUnavailable(f"{operation.service} did not answer in time.") from error
        finally:
            del self._pending[correlation_id]

    async def _send_call(self, link: _Link, correlation_id: str, pending: _PendingCall) -> None:
        """Send, or leave it pending: the next link sends again what a broken one lost."""
        queue = topology.call_queue(pending.operation)
        if link.replies is None:
            raise BusUnavailable(f"{self._user} is no service that asks others.")
        remaining = max(pending.deadline - time.monotonic(), 0.001)
        message = aio_pika.Message(
            pending.body,
            correlation_id=correlation_id,
            reply_to=link.replies.name,
            expiration=remaining,
            user_id=self._user,
        )
        try:
            await link.calls.publish(message, queue, timeout=remaining)
        except DeliveryError as error:
            raise BusUnavailable(f"{pending.operation.service} has too much to do.") from error
        except TimeoutError:
            raise
        except _BROKEN as error:
            _log.warning("call not sent, waiting for the broker", operation=pending.operation.name, error=repr(error))

    async def publish(self, *events: LoggedEvent) -> None:
        if self._link is None:
            raise BusUnavailable("The broker is away.")
        try:
            await self._link.events.publish(
                message_of(events, self._user), events[0].name, mandatory=True, timeout=CONFIRM_TIMEOUT
            )
        except _BROKEN as error:
            raise BusUnavailable(f"The broker did not take the event: {error!r}") from error

    async def _supervise(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._connected() as link:
                    pause = FIRST_PAUSE
                    await self._serve_link(link)
            except _BROKEN as error:
                _log.warning("broker connection lost", error=repr(error), pause=pause)
            except Exception:  # a bad URL, or a fault of ours: without a supervisor nothing would ever be right again
                _log.exception("the broker cannot be used", pause=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _serve_link(self, link: _Link) -> None:
        self._link = link  # from here on a new call sends itself
        _log.info("connected to the broker")
        try:
            for correlation_id, pending in list(self._pending.items()):
                with contextlib.suppress(BusUnavailable, TimeoutError):
                    await self._send_call(link, correlation_id, pending)
            await link.broken.wait()
            raise ConnectionError("the connection, a channel or a consumer was lost")
        finally:
            self._link = None

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Link]:
        connection = await aio_pika.connect(
            self._url,
            timeout=CONNECT_TIMEOUT,
            heartbeat=HEARTBEAT,
            client_properties={"connection_name": self._name},
        )
        BUS_CONNECTS.inc()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT * 4):
                link = await self._build(connection)
            yield link
        finally:
            with contextlib.suppress(*_BROKEN):
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await connection.close()

    async def _build(self, connection: AbstractConnection) -> _Link:
        broken = asyncio.Event()
        connection.close_callbacks.add(lambda *_: broken.set())
        publishing = await _open_channel(connection, broken)
        calls = await publishing.get_exchange(topology.CALLS_EXCHANGE)
        events = await publishing.get_exchange(topology.EVENTS_EXCHANGE)
        replies = await self._reply_queue(publishing) if self._user in topology.CALLERS else None
        # Nobody waits for an answer's confirm: a caller whose answer is lost with the connection asks again.
        channel = await _open_channel(connection, broken, confirms=False)
        answering = await channel.get_exchange(topology.REPLIES_EXCHANGE)
        link = _Link(connection, calls, events, replies, publishing, answering, broken, [])
        if not self._draining:
            await self._attach(link)
        return link

    async def _reply_queue(self, channel: AbstractChannel) -> AbstractQueue:
        name = topology.reply_queues(self._user) + secrets.token_urlsafe(16)
        queue = await channel.declare_queue(name, exclusive=True, auto_delete=True)
        await queue.bind(topology.REPLIES_EXCHANGE, name)
        await queue.consume(self._on_answer, no_ack=True)
        return queue

    async def _attach(self, link: _Link) -> None:
        for queue_name in sorted({topology.call_queue(operation) for operation, _ in self._handlers.values()}):
            channel = await _open_channel(link.connection, link.broken, topology.CALLS_IN_PROGRESS)
            queue = await channel.get_queue(queue_name)
            link.consuming.append((queue, await queue.consume(self._in_task(self._on_call))))
        for group, consumer, concurrency in self._consumers:
            channel = await _open_channel(link.connection, link.broken, concurrency)
            queue = await channel.get_queue(topology.event_queue(group))
            callback = self._in_task(partial(self._on_events, group, consumer))
            link.consuming.append((queue, await queue.consume(callback)))

    def _in_task(
        self, work: Callable[[AbstractIncomingMessage], Awaitable[None]]
    ) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
        """Track the work, so that `drain` can wait for it; a connection lost on the way is no error."""

        async def run(message: AbstractIncomingMessage) -> None:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101  we are in one
            self._working.add(task)
            try:
                await work(message)
            except (ChannelInvalidStateError, *_BROKEN) as error:
                _log.warning("connection lost during work; it comes again", error=repr(error))
            finally:
                self._working.discard(task)

        return run

    async def _on_answer(self, message: AbstractIncomingMessage) -> None:
        pending = self._pending.get(message.correlation_id or "")
        if pending is None or pending.answer.done():
            return
        if message.user_id != pending.operation.service:
            _log.error("answer refused", sender=message.user_id, operation=pending.operation.name)
            return
        pending.answer.set_result(message.body)

    async def _on_call(self, message: AbstractIncomingMessage) -> None:
        answer = await answer_call(self._handlers, message.body, message.user_id)
        link = self._link
        if link and message.reply_to:
            reply = aio_pika.Message(answer, correlation_id=message.correlation_id, user_id=self._user)
            await link.answering.publish(reply, message.reply_to, mandatory=False, timeout=CONFIRM_TIMEOUT)
        await message.ack()

    async def _on_events(self, group: str, consumer: Consumer, message: AbstractIncomingMessage) -> None:
        try:
            events = events_of(message)
        except UnknownShape as error:
            await self._keep(group, message, error)
            return
        with structlog.contextvars.bound_contextvars(request_id=events[0].request_id, event_id=events[0].id):
            outcome = await deliver(consumer, events)
        EVENTS_HANDLED.labels(group, outcome.name.lower()).inc(len(events))
        if outcome is Outcome.DONE:
            await message.ack()
        elif len(events) == 1:
            await message.reject(requeue=outcome is Outcome.AGAIN)
        else:
            await self._part(group, events)
            await message.ack()

    async def _keep(self, group: str, message: AbstractIncomingMessage, error: UnknownShape) -> None:
        """Puts aside what another version may read, as it came."""
        kept = for_later(message, self._user, self._later_seconds)
        _log.error("event unreadable", event_id=message.message_id, error=str(error), kept=kept is not None)
        EVENTS_HANDLED.labels(group, "later" if kept else "dead").inc()
        if kept:
            await self._publish_to(topology.later_queue(group), kept)
            await message.ack()
        else:
            await message.reject(requeue=False)

    async def _part(self, group: str, events: Sequence[LoggedEvent]) -> None:
        """Back into the group's queue one by one, so that none pays for another."""
        for event in events:
            await self._publish_to(topology.again_exchange(group), message_of([event], self._user))

    async def _publish_to(self, exchange: str, message: aio_pika.Message) -> None:
        """Publishes to one of the group's own exchanges, each of which leads into one queue."""
        if self._link is None:
            raise ConnectionError("the broker is away")
        own = await self._link.publishing.get_exchange(exchange, ensure=False)
        await own.publish(message, "", timeout=CONFIRM_TIMEOUT)


def user_of(url: str) -> str:
    """The user that a broker's URL names; RabbitMQ's own default where it names none."""
    return unquote(urlsplit(url).username or "guest")


async def _open_channel(
    connection: AbstractConnection, broken: asyncio.Event, prefetch: int = 0, *, confirms: bool = True
) -> AbstractChannel:
    """A channel; its end, or the broker's cancelling a consumer on it, breaks the link."""
    channel = await connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
    if prefetch:
        await channel.set_qos(prefetch_count=prefetch)
    channel.close_callbacks.add(lambda *_: broken.set())
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda *_: broken.set())
    return channel
