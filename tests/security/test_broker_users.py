"""Who takes over a service has what its user has at RabbitMQ: it answers its own calls, and speaks for nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import AMQPError

from deploy.logins.passwords import WITH_BROKER
from libs.common.bus import topology
from libs.common.bus.base import BusUnavailable, Caller
from libs.common.bus.codec import encode_call
from libs.common.bus.rabbit import RabbitBus
from libs.common.contracts.registry import Access, Limit, Operation
from libs.common.identity import Identity
from tests.support.servers import as_service
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Word:
    text: str


ask = Operation("test.ask", "spaces_auth", Word, Word, Access.INTERNAL, Limit(1, 1))
OPERATOR = Caller(Identity("account", "olivia", "olivia", operator=True), "request-1")
CALL_QUEUES = [queue for server in topology.SERVERS for queue in topology.call_queues(server)]
EVENT_QUEUES = [topology.event_queue(group) for group in topology.EVENT_GROUPS]
DEAD_QUEUES = [topology.dead_queue(group) for group in topology.EVENT_GROUPS]
AGAIN = [topology.again_exchange(group) for group in topology.EVENT_GROUPS]
LATER = [topology.later_queue(group) for group in topology.EVENT_GROUPS]
EXCHANGES = [
    topology.CALLS_EXCHANGE, topology.REPLIES_EXCHANGE, topology.EVENTS_EXCHANGE, topology.DEAD_EXCHANGE,
    *AGAIN, *LATER,
]  # fmt: skip


@pytest.fixture(params=WITH_BROKER)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def channel_of(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of its own: the broker closes it at the first refusal."""
    connection = await aio_pika.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def may_publish(url: str, exchange: str, key: str = "anything", user: str | None = None) -> bool:
    async with channel_of(url) as channel:
        try:
            into = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
            await into.publish(aio_pika.Message(b"x", user_id=user), key, mandatory=False, timeout=5)
        except AMQPError:
            return False
        return True


async def may_read(url: str, queue: str) -> bool:
    async with channel_of(url) as channel:
        try:
            await (await channel.get_queue(queue, ensure=False)).get(fail=False, timeout=5)
        except AMQPError:
            return False
        return True


def own_call_queues(service: str) -> set[str]:
    return set(topology.call_queues(service)) if service in topology.SERVERS else set()


async def test_a_service_reads_its_own_queues_and_no_others(amqp_url: str, service: str) -> None:
    url = as_service(amqp_url, service)
    own = own_call_queues(service)
    if service in topology.EVENT_GROUPS:
        own |= {topology.event_queue(service), topology.dead_queue(service)}
    queues = (*CALL_QUEUES, *EVENT_QUEUES, *LATER, *DEAD_QUEUES)
    readable = {queue for queue in queues if await may_read(url, queue)}
    assert readable == own


async def test_a_service_writes_where_its_part_is_and_never_straight_into_a_queue(amqp_url: str, service: str) -> None:
    url = as_service(amqp_url, service)
    own = {topology.CALLS_EXCHANGE} if service in topology.CALLERS else {topology.REPLIES_EXCHANGE}
    own |= {topology.EVENTS_EXCHANGE} if service in topology.PUBLISHERS else set()
    if service in topology.EVENT_GROUPS:
        own |= {topology.again_exchange(service), topology.later_queue(service)}
    assert {exchange for exchange in EXCHANGES if await may_publish(url, exchange)} == own
    for queue in ("chat.writes", "realtime.events"):
        assert not await may_publish(url, "", queue)


async def test_the_broker_refuses_a_message_in_anothers_name(amqp_url: str, service: str) -> None:
    url = as_service(amqp_url, service)
    exchange = topology.CALLS_EXCHANGE if service in topology.CALLERS else topology.REPLIES_EXCHANGE
    assert await may_publish(url, exchange, user=service)
    assert not await may_publish(url, exchange, user="gateway" if service != "gateway" else "realtime")


async def test_a_service_makes_binds_and_deletes_nothing_of_the_brokers(amqp_url: str, service: str) -> None:
    url = as_service(amqp_url, service)

    async def refused(what: str, *arguments: object, **options: object) -> bool:
        async with channel_of(url) as channel:
            try:
                await getattr(channel, what)(*arguments, timeout=5, **options)
            except AMQPError:
                return True
            return False

    assert await refused("declare_queue", "mine", durable=True)
    assert await refused("declare_queue", "")  # named by the broker: not even that
    assert await refused("declare_exchange", "mine", "topic")
    for queue in ("chat.writes", "webhook_dispatcher.events"):
        assert await refused("queue_delete", queue)
        if not queue.startswith(service):  # what it reads it may also empty
            async with channel_of(url) as channel:
                with pytest.raises(AMQPError):
                    await (await channel.get_queue(queue, ensure=False)).purge(timeout=5)
    assert await refused("exchange_delete", topology.EVENTS_EXCHANGE)


@pytest.mark.parametrize("edge", topology.CALLERS)
async def test_an_edge_hears_no_answers_but_its_own(amqp_url: str, edge: str) -> None:
    """Nor the events that pass, nor the calls of the other edge."""
    url = as_service(amqp_url, edge)
    other = next(name for name in topology.CALLERS if name != edge)
    async with channel_of(url) as channel:
        await channel.declare_queue(f"{edge}.replies.mine", exclusive=True)
    for name in (f"{other}.replies.mine", "chat.replies.mine", f"{edge}.replies"):
        async with channel_of(url) as channel:
            with pytest.raises(AMQPError):
                await channel.declare_queue(name, exclusive=True)
    for exchange in (topology.EVENTS_EXCHANGE, topology.CALLS_EXCHANGE):
        async with channel_of(url) as channel:
            queue = await channel.declare_queue(f"{edge}.replies.mine", exclusive=True)
            with pytest.raises(AMQPError):
                await queue.bind(exchange, "#")


async def test_a_call_without_a_user_is_answered_with_a_refusal(amqp_url: str) -> None:
    """`user_id` is the sender's to leave out; then nobody vouches for it."""
    heard: list[Caller] = []

    async def handler(caller: Caller, request: Word) -> Word:
        heard.append(caller)
        return request

    server = RabbitBus(as_service(amqp_url, "spaces_auth"), "test")
    server.serve(ask, handler)
    await server.start()
    await eventually(lambda: server.ready)
    async with channel_of(as_service(amqp_url, "realtime")) as channel:
        replies = await channel.declare_queue("realtime.replies.test", exclusive=True)
        await replies.bind(topology.REPLIES_EXCHANGE, replies.name)
        calls = await channel.get_exchange(topology.CALLS_EXCHANGE, ensure=False)
        message = aio_pika.Message(encode_call(ask, Word("x"), OPERATOR), reply_to=replies.name, correlation_id="1")
        await calls.publish(message, topology.call_queue(ask))
        answer = await eventually(lambda: replies.get(fail=False))
    await server.stop()
    assert b'"forbidden"' in answer.body
    assert heard == []


async def test_no_service_answers_in_the_place_of_another(amqp_url: str) -> None:
    """Chat knows the gateway's reply queue from its own calls, and here even the correlation id."""
    edge = RabbitBus(as_service(amqp_url, "gateway"), "test")
    await edge.start()
    await eventually(lambda: edge.ready)
    call = asyncio.create_task(edge.call(ask, Word("who is it?"), OPERATOR, timeout=2))
    await eventually(lambda: edge._pending)
    assert edge._link
    assert edge._link.replies
    forged = aio_pika.Message(b'{"reply": {"text": "me"}}', correlation_id=next(iter(edge._pending)), user_id="chat")
    async with channel_of(as_service(amqp_url, "chat")) as channel:
        replies = await channel.get_exchange(topology.REPLIES_EXCHANGE, ensure=False)
        await replies.publish(forged, edge._link.replies.name)
    with pytest.raises(BusUnavailable):
        await call
    await edge.stop()
