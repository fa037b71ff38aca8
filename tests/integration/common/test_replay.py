"""Events are given to a service again by a command, in that service's environment: the dead, and a part of the log."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import aio_pika
import pytest

from libs.common.bus import event_messages, topology
from libs.common.bus.base import Reject
from libs.common.bus.event_messages import KEPT_SINCE
from libs.common.bus.rabbit import RabbitBus
from libs.common.clock import now
from libs.common.contracts.log import LoggedEvent
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.db.replay import run
from libs.common.spaces import SpaceKey
from tests.integration.common.test_event_log import Fell, fell
from tests.integration.common.world import caller
from tests.support.servers import as_service
from tests.support.waiting import eventually

GROUP = "webhook_dispatcher"
PARTY = SpaceKey("event", "party")


class Consumer:
    """Rejects everything until it is mended."""

    def __init__(self) -> None:
        self.is_mended = False
        self.handled: list[LoggedEvent] = []

    async def __call__(self, events: Sequence[LoggedEvent]) -> None:
        if not self.is_mended:
            raise Reject("a fault of this version")
        self.handled += events


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, amqp_url: str, database_url: str) -> None:
    monkeypatch.setenv("PRESENCE_AMQP_URL", as_service(amqp_url, GROUP))
    monkeypatch.setenv("PRESENCE_DATABASE_URL", database_url)


@asynccontextmanager
async def connected(amqp_url: str, service: str, consumer: Consumer | None = None) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(as_service(amqp_url, service), "replay test", later_seconds=0.1)
    if consumer:
        bus.subscribe(service, consumer)
    await bus.start()
    await eventually(lambda: bus.ready)
    try:
        yield bus
    finally:
        await bus.stop()


async def count_of(amqp_url: str, queue: str) -> int:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        return (await channel.get_queue(queue)).declaration_result.message_count or 0


async def is_dead(amqp_url: str, count: int) -> bool:
    return await count_of(amqp_url, topology.dead_queue(GROUP)) == count


def event(seq: int) -> LoggedEvent:
    return LoggedEvent(
        f"id-{seq}", "test.happened", "global", "lobby", None, seq, "account:alice", now(), {"n": seq}, "request-1"
    )


async def test_the_dead_are_given_to_a_service_that_was_mended(amqp_url: str, environment: None) -> None:
    consumer, events = Consumer(), [event(seq) for seq in range(1, 6)]
    async with connected(amqp_url, GROUP, consumer), connected(amqp_url, "chat") as publisher:
        for one in events:
            await publisher.publish(one)
        await eventually(lambda: is_dead(amqp_url, 5))
        consumer.is_mended = True
        assert await run(["dead"]) == "5 messages given to webhook_dispatcher again."
        await eventually(lambda: sorted(one.seq for one in consumer.handled) == [1, 2, 3, 4, 5])
    assert await is_dead(amqp_url, 0)


async def test_the_dead_that_die_again_are_moved_once(amqp_url: str, environment: None) -> None:
    async with connected(amqp_url, GROUP, Consumer()), connected(amqp_url, "chat") as publisher:
        await publisher.publish(event(1))
        await eventually(lambda: is_dead(amqp_url, 1))
        assert await run(["dead"]) == "1 messages given to webhook_dispatcher again."
        await eventually(lambda: is_dead(amqp_url, 1))


async def test_what_nobody_could_read_is_dead_in_the_end_and_can_be_given_again(
    amqp_url: str, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = Consumer()
    async with connected(amqp_url, GROUP, consumer), connected(amqp_url, "chat") as publisher:
        assert publisher._link
        unreadable = aio_pika.Message(b"of another version", user_id="chat", message_id="later")
        await publisher._link.events.publish(unreadable, "test.happened")
        monkeypatch.setattr(event_messages, "KEPT_SECONDS", -1)
        await eventually(lambda: is_dead(amqp_url, 1))
        monkeypatch.undo()
        monkeypatch.setenv("PRESENCE_AMQP_URL", as_service(amqp_url, GROUP))
        assert await run(["dead"]) == "1 messages given to webhook_dispatcher again."
        await eventually(lambda: is_kept_anew(amqp_url))


async def is_kept_anew(amqp_url: str) -> bool:
    """Whether the message is kept as one that was never kept before."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        message = await (await channel.get_queue(topology.later_queue(GROUP))).get(fail=False)
        if message is None:
            return False
        await message.reject(requeue=True)
        return KEPT_SINCE in message.headers


async def test_a_part_of_the_log_is_given_to_one_service(amqp_url: str, database_url: str, environment: None) -> None:
    consumer, database = Consumer(), Database(database_url, "chat")
    consumer.is_mended = True
    async with connected(amqp_url, "chat") as bus:
        log = EventLog(database, bus)  # not started: it publishes nothing
        for number in range(8):
            async with log.transaction() as tx:
                await tx.append(fell, PARTY, caller(), partial(Fell, number))
    await database.stop()
    async with connected(amqp_url, GROUP, consumer):
        assert (
            await run(["log", "event:party", "3", "6"]) == "4 events of event:party given to webhook_dispatcher again."
        )
        await eventually(lambda: len(consumer.handled) == 4)
        assert sorted(one.payload["writer"] for one in consumer.handled) == [2, 3, 4, 5]
    for group in ("realtime", "spaces_auth"):
        assert await count_of(amqp_url, topology.event_queue(group)) == 0


@pytest.mark.parametrize("words", [[], ["dead", "now"], ["log", "event:party", "1"], ["log", "event:party", "x", "2"]])
async def test_a_command_that_is_none_is_refused_with_what_to_say(environment: None, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"Say `dead`|invalid literal"):
        await run(words)


async def test_a_service_that_consumes_nothing_is_refused(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_AMQP_URL", as_service(amqp_url, "gateway"))
    with pytest.raises(ValueError, match="gateway consumes no events"):
        await run(["dead"])
