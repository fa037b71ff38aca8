"""The door of the sockets: every packet is counted before it is read, whatever it is."""

import asyncio
import contextlib

import aiohttp
import pytest

from services.realtime.rooms.client import MOST_SIGNALS
from services.realtime.transport.flood_gate import MOST_PACKETS
from tests.support.whole import Replica
from tests.support.wire import PATH, Polling, WebSocket, decoded

REMOVED = 20
LONGEST = 60.0  # seconds a busy machine may take for what takes five
JOIN = '42["join-space",{"spaceType":"global","spaceId":"lobby"}]'


async def test_an_unknown_event_with_an_ack_is_answered_not_found(stranger: WebSocket) -> None:
    answer = await stranger.ask('427["no-such-event",{}]', "437")
    assert (answer["ok"], answer["code"]) == (False, "not_found")
    assert (await stranger.ask('428["time"]', "438"))["ok"]


@pytest.mark.parametrize(
    "packet",
    ['42["no-such-event"]', '42["time"]', '42["join-space",{"spaceType":"planet"}]', JOIN, "42nonsense", "3"],
    ids=["unknown", "over its budget", "refused", "costly", "unreadable", "pong"],
)
async def test_a_flood_of_any_packet_is_told_so_and_ended_while_a_bystander_is_answered(
    stranger: WebSocket, bystander: WebSocket, packet: str
) -> None:
    flood, heard = asyncio.ensure_future(pour(stranger, packet)), asyncio.ensure_future(stranger.rest())
    answers = 0
    try:
        async with asyncio.timeout(LONGEST):
            while not heard.done():
                answers += (await bystander.ask('428["time"]', "438"))["ok"]
    finally:
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
    assert '"code":"rate_limited"' in str(heard.result())
    assert answers > 0


async def test_a_flood_of_a_plain_client_is_told_so_and_ended(replica: Replica) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(replica.url + PATH) as plain:
        flood = asyncio.ensure_future(pour_plain(plain))
        try:
            async with asyncio.timeout(LONGEST):
                heard = [message.data async for message in plain]
        finally:
            flood.cancel()
            await asyncio.gather(flood, return_exceptions=True)
    assert any('"code":"rate_limited"' in str(data) for data in heard)


async def pour_plain(plain: aiohttp.ClientWebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        while True:
            await plain.send_str("x")
            await asyncio.sleep(0)  # or it would hear nothing before the end, which resets the connection


async def test_a_flood_of_pings_ends(replica: Replica, stranger: WebSocket) -> None:
    assert stranger.socket
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        async with asyncio.timeout(LONGEST):
            while True:
                await stranger.socket.ping()
                await asyncio.sleep(0)  # or it would fill its own buffer for a minute before it hears of the end
    async with WebSocket(replica.url) as bystander:
        await bystander.connect()
        assert (await bystander.ask('428["time"]', "438"))["ok"]


async def test_a_flood_of_posted_packets_ends_the_session(replica: Replica) -> None:
    async with Polling(replica.url) as session:
        await session.connect()
        body = ["3"] * MOST_PACKETS * 2
        async with asyncio.timeout(LONGEST):
            while await session.post(*body) == 200:
                pass
        assert (await session.get())[0] == 400


async def pour(stranger: WebSocket, packet: str) -> None:
    """Sends for as long as the server takes it."""
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        while True:
            await stranger.send(*[packet] * 50)
            await asyncio.sleep(0)


async def test_a_hasty_client_below_the_bound_stays_and_loses_nothing(stranger: WebSocket) -> None:
    for _ in range(2 * MOST_PACKETS):
        await stranger.send("3")
    assert (await stranger.ask('428["time"]', "438"))["ok"]


async def test_a_removal_of_networked_aframe_is_taken_from_who_has_used_up_its_signals(
    stranger: WebSocket, bystander: WebSocket
) -> None:
    """Nobody says it again: those who miss it would see the entity for ever."""
    joining = '421["join-space",{"spaceType":"event","spaceId":"removals"}]'
    for client in (bystander, stranger):
        assert (await client.ask(joining, "431"))["ok"]
    await stranger.send(*['42["broadcast",{"type":"um","data":{"d":[]}}]'] * (MOST_SIGNALS + 20))
    for number in range(REMOVED):
        await stranger.send(f'42["broadcast",{{"type":"r","data":{{"networkId":"e{number}"}}}}]')
    heard: list[str] = []
    while len(heard) < REMOVED:
        packet = await bystander.next()
        assert isinstance(packet, str)
        if packet.startswith('42["broadcast"') and '"type":"r"' in packet:
            heard.append(decoded(packet, "42")[1]["data"]["networkId"])
    assert heard == [f"e{number}" for number in range(REMOVED)]
