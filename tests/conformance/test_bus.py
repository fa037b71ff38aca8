"""One suite for every bus: what `libs/common/bus/base.py` promises in words."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import aio_pika
import pytest

from libs.common.bus import codec, memory, rabbit
from libs.common.bus.base import Bus, BusUnavailable, Caller, Reject
from libs.common.bus.codec import WIRE_VERSION, encode_events
from libs.common.bus.event_messages import WIRE
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.bus.rabbit import RabbitBus
from libs.common.bus.topology import DELIVERY_LIMIT, SERVERS
from libs.common.clock import now
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Access, Limit, Operation
from libs.common.errors import CONFLICT, FORBIDDEN, INVALID_INPUT, UNAVAILABLE, PresenceError
from libs.common.identity import OPERATOR, Identity, new_guest, service_identity
from libs.common.ids import new_id
from libs.common.metrics import EVENTS_HANDLED
from tests.support.servers import as_service
from tests.support.waiting import eventually

PATIENCE = 20.0
LATER_SECONDS = 0.3  # until what nobody could read is given out again


@dataclass(frozen=True)
class Echo:
    text: str
    number: int = 0


@dataclass(frozen=True)
class LaterEcho:
    """An `Echo` as a newer version sends it."""

    text: str
    number: int = 0
    added_later: str = "unknown to the service"


@dataclass(frozen=True)
class NumberEcho:
    """An `Echo` of a client that misread its declaration."""

    text: int


echo = Operation("test.echo", "chat", Echo, Echo, Access.INTERNAL, Limit(1, 1))
later_echo = Operation("test.echo", "chat", LaterEcho, Echo, Access.INTERNAL, Limit(1, 1))
new_echo = Operation("test.new_echo", "chat", Echo, Echo, Access.INTERNAL, Limit(1, 1))
misread_echo = Operation("test.echo", "chat", Echo, NumberEcho, Access.INTERNAL, Limit(1, 1))
number_echo = Operation("test.echo", "chat", NumberEcho, Echo, Access.INTERNAL, Limit(1, 1))
ALICE = Caller(Identity("account", "alice", "alice", token_id="t"), "request-1", "203.0.113.9")

type MakeBus = Callable[[str], Bus]


@pytest.fixture(params=["memory", pytest.param("rabbit", marks=pytest.mark.servers)])
async def make_bus(request: pytest.FixtureRequest) -> AsyncIterator[MakeBus]:
    """Makes buses of one installation; each is a process of the service that is named."""
    if request.param == "memory":
        broker = MemoryBroker(LATER_SECONDS)
        yield partial(MemoryBus, broker)
    else:
        url = request.getfixturevalue("amqp_url")
        yield lambda service: RabbitBus(as_service(url, service), "conformance", LATER_SECONDS)


@asynccontextmanager
async def running(*buses: Bus) -> AsyncIterator[None]:
    for bus in buses:
        await bus.start()
    await eventually(lambda: all(bus.ready for bus in buses))
    try:
        yield
    finally:
        for bus in reversed(buses):
            await bus.stop()


def event(seq: int = 1, **changes: Any) -> LoggedEvent:
    made = LoggedEvent(
        new_id(), "test.happened", "global", "lobby", None, seq, "account:alice", now(), {"n": seq}, "request-1"
    )
    return replace(made, **changes)


class Collector:
    """A consumer that remembers; `fail` is asked before each event."""

    def __init__(self, fail: Callable[[LoggedEvent], Awaitable[None]] | None = None) -> None:
        self.handled: list[LoggedEvent] = []
        self._fail = fail
        self._changed = asyncio.Condition()

    async def __call__(self, events: Sequence[LoggedEvent]) -> None:
        for event in events:
            if self._fail:
                await self._fail(event)
            async with self._changed:
                self.handled.append(event)
                self._changed.notify_all()

    async def wait_for(self, count: int) -> list[LoggedEvent]:
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self.handled) >= count)
        return self.handled


async def test_a_call_is_answered_with_the_caller_and_the_request(make_bus: MakeBus) -> None:
    server, client = make_bus("chat"), make_bus("gateway")
    seen: list[Caller] = []

    async def handler(caller: Caller, request: Echo) -> Echo:
        seen.append(caller)
        return Echo(request.text.upper(), request.number + 1)

    server.serve(echo, handler)
    async with running(server, client):
        assert await client.call(echo, Echo("héllo 👋", 1), ALICE) == Echo("HÉLLO 👋", 2)
    assert seen == [ALICE]


async def test_the_services_error_reaches_the_caller_whole(make_bus: MakeBus) -> None:
    server, client = make_bus("chat"), make_bus("gateway")

    async def handler(_: Caller, __: Echo) -> Echo:
        raise PresenceError(CONFLICT, "not twice", {"why": ["because"]})

    server.serve(echo, handler)
    async with running(server, client):
        with pytest.raises(PresenceError) as raised:
            await client.call(echo, Echo("x"), ALICE)
    assert (raised.value.kind, raised.value.text, raised.value.details) == (CONFLICT, "not twice", {"why": ["because"]})


async def test_a_bug_in_a_handler_is_internal_and_tells_nothing(make_bus: MakeBus) -> None:
    server, client = make_bus("chat"), make_bus("gateway")

    async def handler(_: Caller, __: Echo) -> Echo:
        raise ZeroDivisionError("a secret")

    server.serve(echo, handler)
    async with running(server, client):
        with pytest.raises(PresenceError, match="internal") as raised:
            await client.call(echo, Echo("x"), ALICE)
        assert "secret" not in str(raised.value)
        with pytest.raises(PresenceError):  # and the server goes on
            await client.call(echo, Echo("x"), ALICE)


async def test_a_request_that_breaks_the_contract_is_refused_by_the_service(make_bus: MakeBus) -> None:
    server, client = make_bus("chat"), make_bus("gateway")

    async def handler(_: Caller, request: Echo) -> Echo:
        return request

    server.serve(echo, handler)
    async with running(server, client):
        with pytest.raises(PresenceError) as raised:
            await client.call(number_echo, NumberEcho(5), ALICE)
    assert raised.value.kind is INVALID_INPUT


async def test_fields_from_a_newer_version_are_ignored(make_bus: MakeBus) -> None:
    server, client = make_bus("chat"), make_bus("gateway")

    async def handler(_: Caller, request: Echo) -> Echo:
        return request

    server.serve(echo, handler)
    async with running(server, client):
        assert await client.call(later_echo, LaterEcho("x"), ALICE) == Echo("x")


async def test_no_answer_is_unavailable_and_never_a_hang(make_bus: MakeBus) -> None:
    server, client = make_bus("chat"), make_bus("gateway")

    enough = asyncio.Event()

    async def handler(_: Caller, request: Echo) -> Echo:
        await enough.wait()
        return request

    server.serve(echo, handler)
    async with running(server, client):
        with pytest.raises(BusUnavailable):
            await client.call(echo, Echo("x"), ALICE, timeout=0.2)
        enough.set()


async def test_without_a_server_a_call_is_unavailable(make_bus: MakeBus) -> None:
    client = make_bus("gateway")
    async with running(client):
        with pytest.raises(PresenceError) as raised:
            await client.call(echo, Echo("x"), ALICE, timeout=0.3)
    assert raised.value.kind is UNAVAILABLE


async def test_two_servers_share_the_calls(make_bus: MakeBus) -> None:
    one, two, client = make_bus("chat"), make_bus("chat"), make_bus("realtime")
    answered: set[str] = set()
    both = asyncio.Event()

    def handler_of(name: str) -> Callable[[Caller, Echo], Awaitable[Echo]]:
        async def handler(_: Caller, request: Echo) -> Echo:
            answered.add(name)
            if len(answered) == 2:
                both.set()
            await asyncio.wait_for(both.wait(), PATIENCE)
            return request

        return handler

    one.serve(echo, handler_of("one"))
    two.serve(echo, handler_of("two"))
    async with running(one, two, client):
        await asyncio.gather(*(client.call(echo, Echo("x", n), ALICE) for n in range(8)))
    assert answered == {"one", "two"}


async def test_every_group_gets_every_event_and_its_members_share_them(make_bus: MakeBus) -> None:
    publisher, one, two, other = map(make_bus, ("chat", "realtime", "realtime", "spaces_auth"))
    first, second, lone = Collector(), Collector(), Collector()
    one.subscribe("realtime", first)
    two.subscribe("realtime", second)
    other.subscribe("spaces_auth", lone)
    events = [event(n) for n in range(1, 51)]
    async with running(publisher, one, two, other):
        for sent in events:
            await publisher.publish(sent)
        await lone.wait_for(50)
        await eventually(lambda: len(first.handled) + len(second.handled) == 50)
    by_seq = sorted([*first.handled, *second.handled], key=lambda e: e.seq)
    assert by_seq == events
    assert sorted(lone.handled, key=lambda e: e.seq) == events


async def test_events_published_together_come_together(make_bus: MakeBus) -> None:
    publisher, bus, other = make_bus("chat"), make_bus("webhook_dispatcher"), make_bus("realtime")
    batches, alone = list[list[int]](), Collector()

    async def collect(events: Sequence[LoggedEvent]) -> None:
        batches.append([event.seq for event in events])

    bus.subscribe("webhook_dispatcher", collect)
    other.subscribe("realtime", alone)
    async with running(publisher, bus, other):
        await publisher.publish(event(1), event(2), event(3))
        await publisher.publish(event(4))
        await eventually(lambda: len(batches) == 2)
        await alone.wait_for(4)
    assert sorted(batches) == [[1, 2, 3], [4]]
    assert [handled.seq for handled in alone.handled] == [1, 2, 3, 4]


async def test_an_event_that_fails_takes_no_other_of_its_batch_with_it(make_bus: MakeBus) -> None:
    """The poison is given up and the others are handled, whatever was tried together."""
    bus, handled = make_bus("spaces_auth"), set[int]()
    tried_alone = 0

    async def poisoned(events: Sequence[LoggedEvent]) -> None:
        nonlocal tried_alone
        numbers = {event.seq for event in events}
        tried_alone += numbers == {2}
        if 2 in numbers:
            raise ZeroDivisionError
        handled.update(numbers)

    bus.subscribe("spaces_auth", poisoned)
    async with running(bus):
        await bus.publish(*(event(n) for n in (1, 2, 3)))
        await eventually(lambda: handled == {1, 3} and tried_alone == DELIVERY_LIMIT + 1)


async def test_an_event_waits_for_a_group_that_is_not_there_yet(make_bus: MakeBus) -> None:
    publisher = make_bus("chat")
    sent = event()
    async with running(publisher):
        await publisher.publish(sent)
    late, collector = make_bus("webhook_dispatcher"), Collector()
    late.subscribe("webhook_dispatcher", collector)
    async with running(late):
        assert await collector.wait_for(1) == [sent]


async def test_a_temporary_failure_is_outlasted(make_bus: MakeBus) -> None:
    bus, tries = make_bus("spaces_auth"), 0

    async def away_twice_as_often_as_the_delivery_limit(_: LoggedEvent) -> None:
        nonlocal tries
        tries += 1
        if tries <= DELIVERY_LIMIT + 2:
            raise PresenceError(UNAVAILABLE)

    collector = Collector(away_twice_as_often_as_the_delivery_limit)
    bus.subscribe("spaces_auth", collector)
    async with running(bus):
        await bus.publish(event())
        assert len(await collector.wait_for(1)) == 1


async def test_a_poison_event_is_given_up_and_holds_nothing_up(make_bus: MakeBus) -> None:
    bus, tries = make_bus("spaces_auth"), 0

    async def poison(incoming: LoggedEvent) -> None:
        nonlocal tries
        if incoming.seq == 1:
            tries += 1
            raise ZeroDivisionError

    collector = Collector(poison)
    bus.subscribe("spaces_auth", collector, concurrency=1)
    async with running(bus):
        await bus.publish(event(1))
        await bus.publish(event(2))
        await collector.wait_for(1)
        await eventually(lambda: tries == DELIVERY_LIMIT + 1)
        await bus.publish(event(3))
        await collector.wait_for(2)
    assert {handled.seq for handled in collector.handled} == {2, 3}
    assert tries == DELIVERY_LIMIT + 1


async def test_a_rejected_event_is_not_tried_again(make_bus: MakeBus) -> None:
    bus, tries = make_bus("spaces_auth"), 0

    async def reject(incoming: LoggedEvent) -> None:
        nonlocal tries
        if incoming.seq == 1:
            tries += 1
            raise Reject("never")

    collector = Collector(reject)
    bus.subscribe("spaces_auth", collector)
    async with running(bus):
        await bus.publish(event(1))
        await bus.publish(event(2))
        await collector.wait_for(1)
    assert tries == 1


async def test_an_event_unfinished_when_its_consumer_stopped_comes_again(make_bus: MakeBus) -> None:
    first, begun = make_bus("spaces_auth"), asyncio.Event()

    async def hangs(_: Sequence[LoggedEvent]) -> None:
        begun.set()
        await asyncio.Event().wait()

    first.subscribe("spaces_auth", hangs)
    sent = event()
    await first.start()
    await eventually(lambda: first.ready)
    await first.publish(sent)
    await asyncio.wait_for(begun.wait(), PATIENCE)
    await abandon(first)
    second, collector = make_bus("spaces_auth"), Collector()
    second.subscribe("spaces_auth", collector)
    async with running(second):
        assert await collector.wait_for(1) == [sent]


async def test_a_call_goes_on_to_a_process_that_knows_its_operation(make_bus: MakeBus) -> None:
    old, new, client = make_bus("chat"), make_bus("chat"), make_bus("gateway")
    asked: list[str] = []

    async def handler(_: Caller, request: Echo) -> Echo:
        asked.append(request.text)
        return request

    old.serve(echo, handler)
    new.serve(echo, handler)
    new.serve(new_echo, handler)
    async with running(old, new, client):
        words = [f"new {n}" for n in range(6)]
        assert [(await client.call(new_echo, Echo(word), ALICE)).text for word in words] == words
    assert sorted(asked) == words, "each is carried out once"


async def test_a_call_of_a_newer_wire_version_is_unavailable_and_not_carried_out(
    make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = make_bus("chat"), make_bus("gateway")
    asked: list[str] = []

    async def handler(_: Caller, request: Echo) -> Echo:
        asked.append(request.text)
        return request

    server.serve(echo, handler)
    newer = codec.encode_call(echo, Echo("newer"), ALICE).replace(b'"wire":1', b'"wire":2')
    async with running(server, client):
        with monkeypatch.context() as patched:
            for bus in (rabbit, memory):
                patched.setattr(bus, "encode_call", lambda *_: newer)
            with pytest.raises(PresenceError) as raised:
                await client.call(echo, Echo("newer"), ALICE, timeout=1)
        assert raised.value.kind is UNAVAILABLE
        await client.call(echo, Echo("as old as the server"), ALICE)
    assert asked == ["as old as the server"]


async def test_an_operation_that_no_process_knows_is_unavailable(make_bus: MakeBus) -> None:
    old, client = make_bus("chat"), make_bus("gateway")
    old.serve(echo, echoes)
    async with running(old, client):
        with pytest.raises(PresenceError) as raised:
            await client.call(new_echo, Echo("x"), ALICE, timeout=1)
    assert raised.value.kind is UNAVAILABLE


async def test_a_reply_that_cannot_be_read_is_unavailable(make_bus: MakeBus) -> None:
    server, client = make_bus("chat"), make_bus("gateway")
    server.serve(echo, echoes)
    async with running(server, client):
        with pytest.raises(PresenceError) as raised:
            await client.call(misread_echo, Echo("no number"), ALICE)
    assert raised.value.kind is UNAVAILABLE


async def echoes(_: Caller, request: Echo) -> Echo:
    return request


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"id": 1}', b'[{"name": "test.happened"}]', b"\xff", b"null"])
async def test_events_of_an_unknown_shape_are_kept_and_hold_nothing_up(make_bus: MakeBus, body: bytes) -> None:
    bus, collector = make_bus("webhook_dispatcher"), Collector()
    kept, dead = handled("later"), handled("dead")
    bus.subscribe("webhook_dispatcher", collector, concurrency=1)
    publisher, sent = make_bus("chat"), event()
    async with running(bus, publisher):
        await send_raw(publisher, body, WIRE_VERSION)
        await publisher.publish(sent)
        assert await collector.wait_for(1) == [sent]
        await eventually(lambda: handled("later") >= kept + 2)
    assert handled("dead") == dead


async def test_events_of_a_newer_wire_version_wait_for_a_process_that_reads_it(
    make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, collector = make_bus("webhook_dispatcher"), Collector()
    bus.subscribe("webhook_dispatcher", collector)
    publisher, sent, kept = make_bus("chat"), event(), handled("later")
    async with running(bus, publisher):
        await send_raw(publisher, encode_events([sent]), WIRE_VERSION + 1)
        await eventually(lambda: handled("later") > kept)
        assert collector.handled == []
        monkeypatch.setattr(codec, "WIRE_VERSION", WIRE_VERSION + 1)
        assert await collector.wait_for(1) == [sent]


async def test_an_event_that_travels_alone_as_it_once_did_is_read(make_bus: MakeBus) -> None:
    bus, collector = make_bus("webhook_dispatcher"), Collector()
    bus.subscribe("webhook_dispatcher", collector)
    publisher, sent = make_bus("chat"), event()
    async with running(bus, publisher):
        await send_raw(publisher, encode_events([sent])[1:-1], WIRE_VERSION)
        assert await collector.wait_for(1) == [sent]


async def send_raw(bus: Bus, body: bytes, wire_version: int) -> None:
    """Publishes what no bus of ours would."""
    if isinstance(bus, RabbitBus):
        assert bus._link
        message = aio_pika.Message(body, headers={WIRE: wire_version}, user_id="chat")
        await bus._link.events.publish(message, "test.happened", mandatory=True)
    else:
        assert isinstance(bus, MemoryBus)
        for queue in bus._broker.queues.values():
            queue.put_nowait((body, wire_version))


def handled(outcome: str) -> float:
    value: float = EVENTS_HANDLED.labels("webhook_dispatcher", outcome)._value.get()
    return value


async def abandon(bus: Bus) -> None:
    """As a killed process does: the connection goes, the work is not waited for."""
    if isinstance(bus, RabbitBus):
        assert bus._link
        await bus._link.connection.close()
        assert bus._supervisor
        bus._supervisor.cancel()
        for task in bus._working:
            task.cancel()
    else:
        await bus.stop()


OPERATOR_BY_TOKEN = Identity("service", OPERATOR, OPERATOR, operator=True)
# Who calls → the identities in whose name it may, and those in whose name it may not.
SPEAKERS = {
    "gateway": (
        (ALICE.identity, replace(ALICE.identity, operator=True), new_guest("0192"), service_identity("gateway"),
         OPERATOR_BY_TOKEN),
        (service_identity("realtime"), service_identity("chat"), replace(new_guest("0192"), operator=True),
         replace(service_identity("gateway"), operator=True)),
    ),
    "realtime": (
        (ALICE.identity, new_guest("0192"), service_identity("realtime")),
        (OPERATOR_BY_TOKEN, service_identity("gateway"), service_identity("spaces_auth")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("edge", SPEAKERS)
async def test_an_edge_speaks_for_people_and_for_itself_only(make_bus: MakeBus, edge: str) -> None:
    server, client = make_bus("chat"), make_bus(edge)
    heard: list[Identity] = []

    async def handler(caller: Caller, request: Echo) -> Echo:
        heard.append(caller.identity)
        return request

    server.serve(echo, handler)
    may, may_not = SPEAKERS[edge]
    async with running(server, client):
        for identity in may:
            await client.call(echo, Echo("x"), Caller(identity, "request-1"))
        for identity in may_not:
            with pytest.raises(PresenceError) as refused:
                await client.call(echo, Echo("x"), Caller(identity, "request-1"))
            assert refused.value.kind is FORBIDDEN, identity
    assert heard == list(may)


@pytest.mark.parametrize("service", SERVERS)
async def test_who_is_no_edge_cannot_ask_in_any_name(make_bus: MakeBus, service: str) -> None:
    server, intruder = make_bus("chat"), make_bus(service)
    heard: list[Caller] = []

    async def handler(caller: Caller, request: Echo) -> Echo:
        heard.append(caller)
        return request

    server.serve(echo, handler)
    async with running(server, intruder):
        for identity in (ALICE.identity, OPERATOR_BY_TOKEN, service_identity(service), service_identity("gateway")):
            with pytest.raises(PresenceError):
                await intruder.call(echo, Echo("x"), Caller(identity, "request-1"), timeout=0.5)
    assert heard == []
