"""The cases of the public Engine.IO document, protocol 4, and of its test suite, restated for our server.

https://github.com/socketio/engine.io-protocol. Where we depart from it: docs/wire.md.
"""

import asyncio
import base64
from collections.abc import AsyncIterator

import aiohttp
import pytest

from deploy.local.stack import Stack
from tests.support.waiting import eventually
from tests.support.whole import one_more_replica
from tests.support.wire import PATH, Polling, WebSocket, decoded

KEYS = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}


@pytest.fixture(scope="module")
async def brisk(stack: Stack) -> AsyncIterator[str]:
    """The URL of a replica whose heart beats once a second."""
    second = {"PRESENCE_PING_INTERVAL_SECONDS": "1", "PRESENCE_PING_TIMEOUT_SECONDS": "1"}
    async with one_more_replica(stack, "brisk", **second) as replica:
        yield replica.url


# Handshake.


async def test_polling_opens_a_session(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        assert session.handshake.keys() == KEYS
        assert session.handshake["upgrades"] == ["websocket"]
        assert isinstance(session.sid, str)
        assert (session.handshake["pingInterval"], session.handshake["pingTimeout"]) == (25_000, 20_000)
        assert session.handshake["maxPayload"] == 1024 * 1024


async def test_a_web_socket_opens_a_session_and_has_no_upgrade(stack: Stack) -> None:
    async with WebSocket(stack.url) as session:
        assert session.handshake.keys() == KEYS
        assert session.handshake["upgrades"] == []


async def test_the_heartbeat_that_is_announced_is_the_one_that_is_set(brisk: str) -> None:
    async with Polling(brisk) as session:
        assert (session.handshake["pingInterval"], session.handshake["pingTimeout"]) == (1000, 1000)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("transport=polling", "unsupported version"),
        ("EIO=abc&transport=polling", "unsupported version"),
        ("EIO=3&transport=polling", "unsupported version"),
        ("EIO=4", "Missing transport"),
        ("EIO=4&transport=abc", "Invalid transport"),
        ("EIO=4&transport=websocket", "Invalid websocket upgrade"),
        ("EIO=4&transport=polling&sid=nobody", "Invalid session"),
    ],
)
async def test_a_request_that_the_protocol_does_not_know_is_a_400(stack: Stack, query: str, reason: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{stack.url}{PATH}?{query}") as response:
        assert response.status == 400
        assert reason in await response.text()


@pytest.mark.parametrize("query", ["EIO=abc&transport=websocket", "EIO=4&transport=abc", "EIO=4"])
async def test_a_web_socket_that_the_protocol_does_not_know_is_a_400(stack: Stack, query: str) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await http.ws_connect(f"{stack.url}{PATH}?{query}")
    assert refusal.value.status == 400


async def test_a_web_socket_of_an_unknown_session_is_a_400(stack: Stack) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await WebSocket(stack.url, sid="nobody").open()
    assert refusal.value.status == 400


@pytest.mark.parametrize(("method", "status"), [("POST", 400), ("PUT", 405), ("DELETE", 405)])
async def test_a_session_is_opened_by_get_only(stack: Stack, method: str, status: int) -> None:
    url = f"{stack.url}{PATH}?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as http, http.request(method, url) as response:
        assert response.status == status


# Messages.


async def test_a_body_holds_one_packet_or_several_in_order(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        await session.connect()
        assert await session.post('421["time"]') == 200
        assert decoded(await session.next(), "431")[0]["ok"]
        assert await session.post(*(f'42{number}["chat-read"]' for number in range(2, 5))) == 200
        for number in range(2, 5):
            assert not decoded(await next_ack(session), f"43{number}")[0]["ok"], "an ack each, in order"


async def next_ack(session: Polling) -> str:
    while True:
        packet = await session.next()
        if packet.startswith("43"):
            return packet


async def test_a_body_holds_as_many_packets_as_a_client_gathers_in_a_turn(stack: Stack) -> None:
    count = 200
    async with Polling(stack.url) as session:
        await session.connect()
        assert await session.post(*(f'42{number}["time"]' for number in range(count))) == 200
        acks = [await next_ack(session) for _ in range(count)]
    assert sorted(acks) == sorted(acks, key=str), "no two alike"
    assert {packet[2 : packet.index("[")] for packet in acks} == {str(number) for number in range(count)}


async def test_a_large_body_is_read_to_its_end(stack: Stack) -> None:
    """It comes in many pieces, of which a careless server reads the first."""
    padding = "x" * 50_000
    packets = [f'42{number}["time",{{"ignored":"{padding}"}}]' for number in range(12)]
    async with Polling(stack.url) as session:
        await session.connect()
        assert await session.post(*packets) == 200
        assert len({await next_ack(session) for _ in packets}) == len(packets)


async def test_a_poll_sends_binary_as_base64(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        await session.connect()
        attachment = base64.b64encode(b"\x01\x02\x03\x04").decode()
        assert await session.post('451-7["time",{"ignored":{"_placeholder":true,"num":0}}]', f"b{attachment}") == 200
        assert decoded(await next_ack(session), "437")[0]["ok"]


async def test_a_web_socket_sends_text_and_binary_frames(stack: Stack) -> None:
    async with WebSocket(stack.url) as session:
        await session.connect()
        assert (await session.ask('421["time"]', "431"))["ok"]
        await session.send('451-2["time",{"ignored":{"_placeholder":true,"num":0}}]', b"\x01\x02\x03\x04")
        assert decoded(await session.next(), "432")[0]["ok"]


@pytest.mark.parametrize("body", [b"abc", b"", b"7", b"4x\x1e", b"bnot base64!", b"\xff\xfe", b"x" * 1_100_000])
async def test_a_body_that_cannot_be_read_ends_the_session(stack: Stack, body: bytes) -> None:
    async with Polling(stack.url) as session:
        await session.connect()
        async with session.http.post(session.url, params=session.query, data=body) as response:
            assert response.status == 400
        assert (await session.get())[0] == 400
        assert await session.post("3") == 400


async def test_more_than_a_thousand_packets_in_a_body_end_the_session(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        assert await session.post(*["3"] * 1025) == 400
        assert (await session.get())[0] == 400


@pytest.mark.parametrize("packet", ["abc", "", "7", "2"])
async def test_a_frame_that_cannot_be_read_ends_the_session(stack: Stack, packet: str) -> None:
    async with WebSocket(stack.url) as session:
        await session.connect()
        await session.send(packet)
        assert await session.rest() == []


async def test_two_polls_at_once_end_the_session(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        first, second = await asyncio.gather(session.get(), session.get())
        assert sorted([first, second])[0] == (200, ["1"])
        assert sorted([first, second])[1][0] == 400
        assert (await session.get())[0] == 400


# Heartbeat.


async def test_the_server_pings_and_is_content_with_pongs(brisk: str) -> None:
    async with Polling(brisk) as polling, WebSocket(brisk) as web_socket:
        await polling.connect()
        await web_socket.connect()
        for _ in range(3):
            assert await polling.get() == (200, ["2"])
            await polling.send("3")
            assert await web_socket.next_of_all() == "2"
            await web_socket.send("3")
        assert (await web_socket.ask('421["time"]', "431"))["ok"]


async def test_who_does_not_pong_is_closed(brisk: str) -> None:
    async with Polling(brisk) as polling, WebSocket(brisk) as web_socket:
        await web_socket.connect()
        told = await web_socket.rest()
        assert told == ["2", "1"], "a ping, then the close"

        async def is_gone() -> bool:
            return (await polling.get())[0] == 400

        await eventually(is_gone)
        assert await polling.post("3") == 400


# Closing.


async def test_a_client_that_polls_closes_its_session(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        poll, status = await asyncio.gather(session.get(), session.post("1"))
        assert status == 200
        assert poll in ((200, ["6"]), (400, ['"Invalid session ' + session.sid + '"'])), "by which came first"
        assert (await session.get())[0] == 400


async def test_a_client_with_a_web_socket_closes_its_session(stack: Stack) -> None:
    async with WebSocket(stack.url) as session:
        await session.connect()
        await session.send("1")
        assert await session.rest() == []


# Upgrade.


async def test_a_session_goes_from_polling_to_a_web_socket(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        sid = await session.connect()
        poll = asyncio.ensure_future(session.get())
        web_socket = await session.probe()
        assert await poll == (200, ["6"]), "NOOP lets go of the poll"
        await web_socket.send("5")
        await web_socket.send('42["join-space",{"spaceType":"event","spaceId":"upgraded"}]')
        event, snapshot = decoded(await web_socket.next(), "42")
        assert event == "space-joined"
        assert sid not in {user["socketId"] for user in snapshot["users"]}
        assert (await session.get())[0] == 400, "the session polls no more"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await WebSocket(stack.url, sid=session.sid).open()
        assert (await web_socket.ask('422["time"]', "432"))["ok"]
        await web_socket.close()


async def test_packets_sent_while_upgrading_arrive_once_and_in_order(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        await session.connect()
        await session.send('421["time"]')
        assert (await session.next()).startswith("431")
        web_socket = await session.probe()
        for number in range(2, 6):
            await session.send(f'42{number}["time"]')
        await web_socket.send("5")
        told = [await web_socket.next() for _ in range(4)]
        assert [str(packet)[:3] for packet in told] == ["432", "433", "434", "435"]
        await web_socket.close()


async def test_a_probe_that_goes_no_further_leaves_the_session_polling(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        await session.connect()
        web_socket = await session.probe()
        await web_socket.close()

        async def answers() -> bool:
            assert await session.post('421["time"]') == 200
            return (await session.next()).startswith("431")

        await eventually(answers)


@pytest.mark.parametrize("packet", ["2wrong", '421["time"]', "5"])
async def test_a_web_socket_that_does_not_probe_is_closed_and_the_session_goes_on(stack: Stack, packet: str) -> None:
    async with Polling(stack.url) as session, WebSocket(stack.url, sid=session.sid) as web_socket:
        await web_socket.send(packet)
        assert await web_socket.rest() == []
        await session.connect()


async def test_a_second_attempt_to_upgrade_is_closed_and_the_first_goes_on(stack: Stack) -> None:
    async with Polling(stack.url) as session:
        await session.connect()
        first = await session.probe()
        async with WebSocket(stack.url, sid=session.sid) as second:
            await second.send("2probe")
            assert await second.rest() == []
        await first.send("5")
        assert (await first.ask('421["time"]', "431"))["ok"]
        await first.close()
