"""The cork: order kept, one write a socket, a slow socket costs only itself."""

import asyncio
from typing import Any, cast

import msgspec
import pytest

from libs.common.identity import guest_identity
from libs.common.tokens import Token
from services.realtime.rooms.client import MAX_GUEST_BACKLOG, MAX_POLLED_BACKLOG, Client
from services.realtime.rooms.room import LONGEST_CORK, Room
from services.realtime.rooms.unread import LEAST_LINE
from services.realtime.transport.engine import DirectSocket
from services.realtime.transport.packets import EventPacket
from tests.support.clock import Clock
from tests.support.sockets import Engine, payloads
from tests.support.waiting import eventually


def member(room: Room, sid: str, engine: Engine, namespace: str = "/") -> Engine:
    token = Token(guest_identity(sid), 2**40)
    room.add(Client(sid, namespace, cast("DirectSocket", engine), token, "127.0.0.1", []))
    return engine


def heard(engine: Engine) -> list[Any]:
    texts = [payload.removeprefix(b"42").removeprefix(b"/socket.io/,") for payload in payloads(b"".join(engine.writes))]
    return [msgspec.json.decode(text)[1] for text in texts]


async def test_packets_that_gather_in_a_turn_are_one_write_in_order() -> None:
    room = Room()
    engines = [member(room, f"s{n}", Engine()) for n in range(3)]
    for number in range(10):
        room.post(EventPacket("e", number))
    assert all(engine.writes == [] for engine in engines)
    await asyncio.sleep(0)
    for engine in engines:
        assert (len(engine.writes), heard(engine)) == (1, list(range(10)))


async def test_a_sender_is_left_out_of_its_own_only() -> None:
    room = Room()
    one, two = member(room, "one", Engine()), member(room, "two", Engine(), "/socket.io/")
    room.post(EventPacket("e", "from one"), sender="one")
    room.post(EventPacket("e", "from two"), sender="two")
    room.post(EventPacket("e", "from elsewhere"))
    room.flush()
    assert heard(one) == ["from two", "from elsewhere"]
    assert heard(two) == ["from one", "from elsewhere"]


async def test_whoever_comes_later_hears_nothing_from_before() -> None:
    room = Room()
    early = member(room, "early", Engine())
    room.post(EventPacket("e", 1))
    late = member(room, "late", Engine())
    room.post(EventPacket("e", 2))
    room.flush()
    assert (heard(early), heard(late)) == ([1, 2], [2])


async def test_a_polling_socket_gets_each_as_text() -> None:
    room = Room()
    polls = member(room, "polls", Engine(polls=True))
    room.post(EventPacket("e", 1))
    room.post(EventPacket("e", 2))
    room.flush()
    assert polls.queued == ['2["e",1]', '2["e",2]']


async def test_a_socket_that_leaves_too_much_unread_is_dropped_and_the_others_go_on() -> None:
    room = Room()
    slow, fine = member(room, "slow", Engine(backlog=MAX_GUEST_BACKLOG + 1)), member(room, "fine", Engine())
    room.post(EventPacket("e", 1))
    room.flush()
    assert (slow.dropped, slow.writes) == (True, [])
    assert b"too_slow" in slow.farewell[0]
    assert (fine.dropped, heard(fine)) == (False, [1])


async def test_a_socket_that_polls_and_never_fetches_is_dropped_as_any_other_that_leaves_too_much_unread() -> None:
    room = Room()
    polls, fine = member(room, "polls", Engine(polls=True)), member(room, "fine", Engine())
    for _ in range(2):
        room.post(EventPacket("e", "x" * (MAX_POLLED_BACKLOG // 2)))
        room.flush()
    assert not polls.dropped
    room.post(EventPacket("e", 1))
    room.flush()
    assert (polls.dropped, len(polls.queued)) == (True, 2)
    assert (fine.dropped, heard(fine)[-1]) == (False, 1)


async def test_what_one_sender_has_a_socket_that_polls_leave_unfetched_is_left_out() -> None:
    room = Room()
    polls = member(room, "polls", Engine(polls=True))
    for _ in range(4):
        room.post(EventPacket("e", "x" * (MAX_POLLED_BACKLOG // 2)), sender="loud")
        room.flush()
    room.post(EventPacket("e", 1))
    room.flush()
    assert (polls.dropped, len(polls.queued), polls.queued[-1]) == (False, 3, '2["e",1]')


class Line(Engine):
    """Takes so many bytes of its backlog each second."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.backlog += len(data)

    def take(self, size: int) -> None:
        self.backlog = max(self.backlog - size, 0)


@pytest.mark.parametrize(("line", "is_dropped"), [(0, True), (LEAST_LINE // 2, True), (4 * LEAST_LINE, False)])
async def test_who_stops_reading_is_dropped_and_silences_nobody_and_a_slow_line_is_spared(
    line: int, is_dropped: bool
) -> None:
    room, clock, engine, blamed = Room(), Clock(), Line(), list[str]()
    client = Client("guest", "/", cast("DirectSocket", engine), Token(guest_identity("g"), 2**40), "127.0.0.1", [])
    client.blame = blamed.append
    client.unread.clock = clock
    room.add(client)
    for _ in range(100):  # a tenth of a second each: a sender within its budget
        room.post(EventPacket("broadcast", "x" * 2000 if is_dropped else "x" * 10_000), sender="speaker")
        room.flush()
        clock.now += 0.1
        engine.take(line // 10)
    assert (engine.dropped, bool(blamed)) == (is_dropped, not is_dropped)


class SlowEngine(Engine):
    """Each write takes a tenth of a second."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def write(self, data: bytes) -> None:
        self._clock.now += 0.1
        super().write(data)


async def test_after_a_flush_of_several_the_next_waits_in_proportion() -> None:
    clock = Clock()
    room = Room(clock)
    engine = member(room, "one", SlowEngine(clock))
    room.post(EventPacket("e", 1))
    room.post(EventPacket("e", 2))
    await asyncio.sleep(0)
    for number in (3, 4, 5):
        await asyncio.sleep(0)
        room.post(EventPacket("e", number))
    await asyncio.sleep(2 * LONGEST_CORK)
    assert (len(engine.writes), heard(engine)) == (1, [1, 2])
    clock.now += LONGEST_CORK
    await eventually(lambda: heard(engine) == [1, 2, 3, 4, 5])
    assert len(engine.writes) == 2


async def test_after_a_flush_of_one_nobody_waits() -> None:
    clock = Clock()
    room = Room(clock)
    engine = member(room, "one", SlowEngine(clock))
    for number in range(3):
        room.post(EventPacket("e", number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard(engine) == list(range(number + 1))
