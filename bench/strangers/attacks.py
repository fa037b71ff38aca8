"""The attacks, each by the cheapest client that does it, from one address, bounded in number and time.

The numbers are those of the rows of the audit that found them.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import aiohttp

from .stage import ATTACKER, VICTIM, Price, Stage
from .wire import Socket, from_address, join

SECONDS = 10.0  # of a flood
WARM_SECONDS = 4.0  # of the same by others before, where memory grows by what a process does for the first time
ROWS = 40_000  # of the log that is asked for
VISITS = 4_000
MESSAGES = 100_000
MBIT_12 = 1_500_000  # bytes a second of a line
FRESH_ID = "(left(r.id::text, 24) || lpad(to_hex({n}), 12, '0'))::uuid"

type Attack = Callable[[Stage], Awaitable[Price]]


async def replay(stage: Stage) -> Price:
    """Twelve sockets ask for the whole log of a space."""
    async with from_address(ATTACKER) as http:
        await _post(http, stage, "long-log")
        where = "space_id = 'long-log' AND name = 'chat.message_posted'"
        fresh = {"id": FRESH_ID.format(n="n"), "seq": "r.seq + n", "subject": "NULL"}
        await stage.copy_row("event_log", where, ROWS, **fresh)
        await stage.sql("UPDATE space_counters SET seq = seq + $1 WHERE space_id = 'long-log'", ROWS)
        price = Price("12 sockets, `join-space {after_seq: 0}` once each", 12)
        async with _sockets(http, stage.replica, 12) as sockets, stage.priced(price):
            asked = [socket.ask("join-space", join("event", "long-log", after_seq=0), 100) for socket in sockets]
            acks = await asyncio.gather(*asked, return_exceptions=True)
            price.told = all(isinstance(ack, dict) and ack.get("gap") for ack in acks)
        price.also += f", {sum(socket.bytes_heard for socket in sockets) / 1e6:.1f} MB sent"
    return price


async def analytics(stage: Stage) -> Price:
    """The owner of one post asks twenty times at once how its visitors stayed."""
    async with from_address(ATTACKER) as http:
        token = await stage.log_in(http, "alice")
        await _visit(http, stage, "post", "alice/my-360-photo", VISITS)
        await asyncio.sleep(3)  # reports are written
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{stage.api}/api/analytics/engagement?space_type=post&space_id=alice/my-360-photo"
        price = Price(f"1 account, 20 questions about {VISITS} visits", 20)

        async def ask() -> int:
            async with http.get(url, headers=headers) as answer:
                return int(answer.status)

        async with stage.priced(price, "join"):
            statuses = await asyncio.gather(*(ask() for _ in range(20)))
            await asyncio.sleep(SECONDS)
        price.also += f", answers {_counted(statuses)}"
    return price


async def flood(stage: Stage) -> Price:
    """Ten sockets send a packet that means nothing, as fast as it goes."""
    price = Price('10 sockets, `42["nosuch"]` without end')
    async with from_address(ATTACKER) as http, _sockets(http, stage.replica, 10) as sockets, stage.priced(price):
        began = time.monotonic()
        sent = await asyncio.gather(*(_pour(socket, '42["nosuch"]') for socket in sockets))
        price.sent, price.told = sum(sent), all(socket.was_told for socket in sockets)
        price.ended_after = _end(sockets, began)
    return price


async def entities(stage: Stage) -> Price:
    """Forty sockets spawn as much as they may; then newcomers have to take all of it, and the forty leave."""
    price = Price("40 sockets, 64 entities of 4 KB each", 40 * 64)
    filler = "x" * 3900
    async with (
        from_address(ATTACKER) as http,
        from_address(VICTIM) as home,
        _sockets(http, stage.replica, 40) as sockets,
    ):
        await asyncio.gather(*(socket.ask("join-space", join("global", "lobby")) for socket in sockets))
        async with stage.priced(price):
            await asyncio.gather(*(_spawn(socket, number, filler) for number, socket in enumerate(sockets)))
            async with Socket(home, stage.replica) as newcomer:
                await newcomer.ask("join-space", join("global", "lobby"))
                price.also = f"a newcomer takes {newcomer.bytes_heard / 1e6:.1f} MB"
            await asyncio.gather(*(socket.web_socket.close() for socket in sockets))
            await asyncio.sleep(2)
        price.told = all(socket.was_told for socket in sockets)
    return price


async def subspaces(stage: Stage) -> Price:
    """Forty sockets walk through names that nobody has heard of; afterwards everybody pays for each of them."""
    price = Price("40 sockets, a new subspace of the lobby and a pose, 5 times a second each")
    async with from_address(ATTACKER) as http, from_address(VICTIM) as home, Socket(home, stage.replica) as stays:
        await stays.ask("join-space", join("global", "lobby"))
        async with _sockets(home, stage.replica, 10) as warming:
            await asyncio.gather(*(_walk(socket, 100 + n, WARM_SECONDS) for n, socket in enumerate(warming)))
        async with _sockets(http, stage.replica, 40) as sockets:
            async with stage.priced(price):
                began = time.monotonic()
                walked = await asyncio.gather(*(_walk(socket, number) for number, socket in enumerate(sockets)))
            price.sent, price.told = sum(walked), any(socket.was_told for socket in sockets)
            price.ended_after = _end(sockets, began)
        await asyncio.sleep(7)
        before = stage.cpu(["r1"])
        await asyncio.sleep(5)
        price.also += f", an idle replica takes {(stage.cpu(['r1']) - before) / 5 * 1000:.0f} ms a second afterwards"
    return price


async def keys(stage: Stage) -> Price:
    """Joins of posts that do not exist and of events that somebody made up."""
    price = Price("20 sockets, joins of made-up names, 5 times a second each")
    async with from_address(VICTIM) as home, _sockets(home, stage.replica, 10) as warming:
        await asyncio.gather(*(_knock(socket, 100 + n, WARM_SECONDS) for n, socket in enumerate(warming)))
    keys_before, ending_before = await stage.redis_keys()
    async with from_address(ATTACKER) as http, _sockets(http, stage.replica, 20) as sockets, stage.priced(price):
        began = time.monotonic()
        joined = await asyncio.gather(*(_knock(socket, number) for number, socket in enumerate(sockets)))
        price.sent, price.told = sum(joined), any(socket.was_told for socket in sockets)
        price.ended_after = _end(sockets, began)
    await asyncio.sleep(7)
    keys_after, ending_after = await stage.redis_keys()
    for_ever = keys_after - ending_after - (keys_before - ending_before)
    price.also += f", {for_ever} keys more for ever, {ending_after - ending_before} that end"
    return price


async def large(stage: Stage) -> Price:
    """One socket says 3 MB a second to eight guests on lines of 12 Mbit/s."""
    price = Price("1 socket, 50 times 60 KB a second of `entity-event`")
    hall, packet = join("event", "hall"), '42["entity-event",' + json.dumps({"name": "x", "data": "x" * 60_000}) + "]"
    async with (
        from_address(ATTACKER) as http,
        _sockets(http, stage.replica, 1) as (attacker,),
        _slow(stage.replica, hall, 8) as victims,
    ):
        await attacker.ask("join-space", hall)
        async with stage.priced(price):
            began = time.monotonic()
            price.sent = await _pour(attacker, packet, pause=0.02)
            price.told, price.ended_after = attacker.was_told, _end([attacker], began)
        price.also += f", {sum(victim.closed for victim in victims)} of 8 victims thrown out"
    return price


async def handshakes(stage: Stage) -> Price:
    """Three thousand sessions that are opened and never say who they are."""
    price = Price("3,000 polling handshakes without a CONNECT", 3000)
    gate, statuses = asyncio.Semaphore(50), list[int]()

    async def shake(http: aiohttp.ClientSession) -> None:
        async with gate, http.get(f"{stage.replica}/socket.io/?EIO=4&transport=polling") as answer:
            await answer.read()
            statuses.append(answer.status)

    async with from_address(ATTACKER) as http, stage.priced(price):
        await asyncio.gather(*(shake(http) for _ in range(3000)))
    price.told = any(status != 200 for status in statuses)
    price.also += f", {statuses.count(200)} sessions open"
    return price


async def searches(stage: Stage) -> Price:
    """Twenty-four strangers search for everything but one word."""
    async with from_address(ATTACKER) as http:
        await _post(http, stage, "archive", "common words of a message that many wrote")
        fresh = {"id": FRESH_ID.format(n="n"), "seq": "r.seq + n", "client_message_id": "'c' || n"}
        await stage.copy_row("chat_messages", "space_id = 'archive'", MESSAGES, **fresh)
        await stage.sql("ANALYZE chat_messages")
        url = f"{stage.api}/api/chat/event/archive/messages"
        price, statuses, until = Price("24 strangers, `q=-word` one after the other"), list[int](), 0.0

        async def search() -> None:
            while time.monotonic() < until:
                async with http.get(url, params={"q": "words -common"}) as answer:
                    await answer.read()
                    statuses.append(answer.status)

        async with stage.priced(price, "post"):
            until = time.monotonic() + SECONDS
            await asyncio.gather(*(search() for _ in range(24)))
        price.sent, price.told = len(statuses), 429 in statuses
        price.also += f", answers {_counted(statuses)}"
    return price


ATTACKS: dict[str, tuple[str, Attack]] = {
    "replay": ("1", replay),
    "analytics": ("2", analytics),
    "flood": ("3", flood),
    "entities": ("4", entities),
    "subspaces": ("5", subspaces),
    "keys": ("6", keys),
    "large": ("8", large),
    "handshakes": ("9", handshakes),
    "searches": ("16", searches),
}


# What they are made of.


@contextlib.asynccontextmanager
async def _sockets(http: aiohttp.ClientSession, url: str, count: int) -> AsyncIterator[list[Socket]]:
    async with contextlib.AsyncExitStack() as opened:
        yield [await opened.enter_async_context(Socket(http, url)) for _ in range(count)]


async def _post(http: aiohttp.ClientSession, stage: Stage, space_id: str, content: str = "hello") -> None:
    async with http.post(f"{stage.api}/api/chat/event/{space_id}/messages", json={"content": content}) as answer:
        answer.raise_for_status()


async def _pour(socket: Socket, packet: str, pause: float = 0.0) -> int:
    """Sends until the connection ends or the time is over, and returns how many."""
    sent, until = 0, time.monotonic() + SECONDS
    while not socket.ended.is_set() and time.monotonic() < until:
        await socket.send(packet)
        sent += 1
        await asyncio.sleep(pause if pause or sent % 50 == 0 else 0)
    return sent


def _end(sockets: Sequence[Socket], began: float) -> float | None:
    """Returns after how many seconds the server ended the first of them; None if it ended none."""
    return min((socket.ended_at - began for socket in sockets if socket.ended.is_set()), default=None)


async def _spawn(socket: Socket, number: int, filler: str) -> None:
    for n in range(64):
        await socket.ask("entity-event", {"name": "spawn", "data": {"id": f"{number}-{n}", "text": filler}})


async def _walk(socket: Socket, number: int, seconds: float = SECONDS) -> int:
    walked, until = 0, time.monotonic() + seconds
    while time.monotonic() < until and not socket.ended.is_set():
        with contextlib.suppress(TimeoutError):
            await socket.ask("join-space", join("global", "lobby", subspace=f"room-{number}-{walked}"))
        await socket.send('42["aframe-update",{"position":{"x":1,"y":1,"z":1}}]')
        walked += 1
        await asyncio.sleep(0.2)
    return walked


async def _knock(socket: Socket, number: int, seconds: float = SECONDS) -> int:
    joined, until = 0, time.monotonic() + seconds
    while time.monotonic() < until and not socket.ended.is_set():
        space = ("post", f"nobody/x{number}-{joined}") if joined % 2 else ("event", f"x{number}-{joined}")
        with contextlib.suppress(TimeoutError):
            await socket.ask("join-space", join(*space))
        joined += 1
        await asyncio.sleep(0.2)
    return joined


async def _visit(http: aiohttp.ClientSession, stage: Stage, space_type: str, space_id: str, visits: int) -> None:
    """Enters and leaves a space so often, by a hundred sockets."""
    async with _sockets(http, stage.replica, 100) as sockets:

        async def visit(socket: Socket) -> None:
            for _ in range(visits // len(sockets)):
                await socket.ask("join-space", join(space_type, space_id))
                await socket.ask("leave-space", {})
                await asyncio.sleep(0.22)

        await asyncio.gather(*(visit(socket) for socket in sockets))


class _SlowLine(asyncio.Protocol):
    """Reads as a line of 12 Mbit/s brings it."""

    def __init__(self, url: str, hall: dict[str, object]) -> None:
        self.closed = False
        self._host = url.removeprefix("http://")
        self._hall = hall
        self._said_hello = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._transport.write(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self._said_hello:
            self._said_hello = True
            self._say("40")
            self._say("42" + json.dumps(["join-space", self._hall]))
        if data.endswith(b"\x81\x012"):
            self._say("3")
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(len(data) / MBIT_12, self._transport.resume_reading)

    def _say(self, text: str) -> None:
        """A masked text frame of at most 64 KB, with a mask of nought."""
        payload = text.encode()
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
        self._transport.write(b"\x81" + size + bytes(4) + payload)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True

    def close(self) -> None:
        self._transport.abort()


@contextlib.asynccontextmanager
async def _slow(url: str, hall: dict[str, object], count: int) -> AsyncIterator[list["_SlowLine"]]:
    host, port = url.removeprefix("http://").split(":")
    lines = []
    for _ in range(count):
        _, line = await asyncio.get_running_loop().create_connection(
            lambda: _SlowLine(url, hall), host, int(port), local_addr=(VICTIM, 0)
        )
        lines.append(line)
    await asyncio.sleep(2)
    try:
        yield lines
    finally:
        for line in lines:
            line.close()


def _counted(statuses: Sequence[int]) -> str:
    return ", ".join(f"{statuses.count(status)} times {status}" for status in sorted(set(statuses)))
