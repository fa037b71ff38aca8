"""The cases of the public Socket.IO document, protocol 5, and of its test suite, restated for our server.

https://github.com/socketio/socket.io-protocol. Where we depart from it: docs/wire.md.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest

from deploy.local.stack import Stack
from tests.support.people import Rest
from tests.support.stack_tokens import signed_token
from tests.support.wire import WebSocket, decoded

OTHER = "/socket.io/"
ATTACHMENT = '{"_placeholder":true,"num":0}'
UNREADABLE = '42["space-error",{"error":"The packet could not be read.","code":"invalid_input"}]'


@pytest.fixture
async def unconnected(stack: Stack) -> AsyncIterator[WebSocket]:
    """A session that is in no namespace yet."""
    async with WebSocket(stack.url) as session:
        yield session


@pytest.fixture
async def session(unconnected: WebSocket) -> WebSocket:
    """A session in the default namespace."""
    await unconnected.connect()
    return unconnected


# CONNECT.


@pytest.mark.parametrize("payload", ["", "{}", '{"token":""}', '{"userAccount":"alice"}'])
async def test_the_default_namespace_is_open_with_and_without_a_payload(unconnected: WebSocket, payload: str) -> None:
    await unconnected.send(f"40{payload}")
    answer = decoded(await unconnected.next(), "40")
    assert answer.keys() == {"sid"}
    assert answer["sid"] != unconnected.handshake["sid"], "the two layers' ids are not to be guessed from each other"


async def test_a_token_in_the_payload_says_who_it_is(stack: Stack, rest: Rest, unconnected: WebSocket) -> None:
    await unconnected.connect(auth=f'{{"token":"{await rest.token("alice")}"}}')
    await unconnected.send('420["join-space",{"spaceType":"event","spaceId":"with-token"}]')
    async with WebSocket(stack.url) as other:
        await other.connect()
        joined = decoded(await unconnected.next(), "42")
        assert joined[0] == "space-joined"
        await other.send('42["join-space",{"spaceType":"event","spaceId":"with-token"}]')
        _, snapshot = decoded(await other.next(), "42")
        assert [user["userAccount"] for user in snapshot["users"]] == ["alice"]


async def test_a_bad_token_is_a_connect_error_and_the_client_may_try_again(unconnected: WebSocket) -> None:
    await unconnected.send('40{"token":"junk"}')
    refusal = decoded(await unconnected.next(), "44")
    assert refusal["message"]
    assert refusal["data"]["code"] == "unauthorized"
    await unconnected.connect()


async def test_both_namespaces_share_one_connection(unconnected: WebSocket) -> None:
    assert await unconnected.connect() != await unconnected.connect(OTHER)
    assert (await unconnected.ask('421["time"]', "431"))["ok"]
    assert (await unconnected.ask(f'42{OTHER},2["time"]', f"43{OTHER},2"))["ok"]


async def test_the_seeds_namespace_alone_is_enough_and_takes_a_payload(unconnected: WebSocket, rest: Rest) -> None:
    await unconnected.connect(OTHER, f'{{"token":"{await rest.token("bob")}"}}')
    space = '{"spaceType":"event","spaceId":"other-namespace"}'
    assert (await unconnected.ask(f'42{OTHER},7["join-space",{space}]', f"43{OTHER},7"))["ok"]


@pytest.mark.parametrize("namespace", ["/random", "/admin", "/socket.io"])
async def test_an_unknown_namespace_is_a_connect_error(unconnected: WebSocket, namespace: str) -> None:
    await unconnected.send(f"40{namespace},")
    assert await unconnected.next() == f'44{namespace},{{"message":"Invalid namespace"}}'
    await unconnected.connect()


async def test_a_second_connect_is_refused_and_the_first_stays(session: WebSocket) -> None:
    await session.send("40")
    assert await session.next() == '44{"message":"Already connected"}'
    assert (await session.ask('421["time"]', "431"))["ok"]


@pytest.mark.parametrize("packet", ["4abc", '42["time"]', '421["time"]', '42/random,["time"]', "41", "43[]", "49", "4"])
async def test_who_does_not_connect_first_is_closed(unconnected: WebSocket, packet: str) -> None:
    await unconnected.send(packet)
    assert await unconnected.rest() == ["1"]


# DISCONNECT.


async def test_leaving_the_only_namespace_closes_the_connection(session: WebSocket) -> None:
    await session.send("41")
    assert await session.rest() == ["1"]


async def test_leaving_one_namespace_keeps_the_other(session: WebSocket) -> None:
    await session.connect(OTHER)
    await session.send(f"41{OTHER},")
    await session.send(f'42{OTHER},1["time"]')
    assert (await session.ask('422["time"]', "432"))["ok"], "and nobody answers for the namespace that was left"
    await session.connect(OTHER)


async def test_who_is_sent_away_and_stays_is_cut_off(stack: Stack, unconnected: WebSocket) -> None:
    await unconnected.connect(auth=f'{{"token":"{await signed_token(stack, "alice", 2)}"}}')
    *_, told, leave, close = await unconnected.rest()
    assert decoded(told, "42")[1]["code"] == "session_expired"
    assert (leave, close) == ("41", "1")


# EVENT and ACK.


async def test_an_event_without_an_id_gets_no_ack(session: WebSocket) -> None:
    await session.send('42["time"]', '421["time"]')
    assert decoded(await session.next(), "431")[0]["ok"]


@pytest.mark.parametrize("number", ["0", "12", "456789", "9007199254740993"])
async def test_an_ack_carries_the_events_id_and_an_array(session: WebSocket, number: str) -> None:
    await session.send(f'42{number}["time"]')
    answer = decoded(await session.next(), f"43{number}")
    assert isinstance(answer, list)


async def test_an_event_reaches_the_others_with_its_payload_unchanged(stack: Stack) -> None:
    async with AsyncExitStack() as both:
        one, two = [await both.enter_async_context(WebSocket(stack.url)) for _ in range(2)]
        for client in (one, two):
            await client.connect()
            assert (await client.ask('421["join-space",{"spaceType":"event","spaceId":"wire"}]', "431"))["ok"]
        data = '[1,"2",{"3":[true,null,"ж 🙂 \\u2028"]}]'
        await one.send(f'42["entity-event",{{"name":"said","data":{data}}}]')
        name, told = decoded(await two.next(), "42")
        assert name == "entity-event"
        assert told["data"] == msgspec.json.decode(data)


async def test_the_ack_of_nothing_is_of_no_consequence(session: WebSocket) -> None:
    await session.send("4399[]", '43["x"]', '4312["x"]')
    assert (await session.ask('421["time"]', "431"))["ok"]


@pytest.mark.parametrize(
    "packet",
    [
        "4abc",
        "47",
        "49what",
        "44",
        '44{"message":"not for servers"}',
        "42",
        "42{}",
        "42[]",
        '42"time"',
        "42[{}]",
        "42[1]",
        "42[null]",
        '42abc["time"]',
        '42["time"',
        '42["time",NaN]',
        '42["connect",{}]',
        '42["disconnect","x"]',
        '42["connect_error"]',
        '45["time"]',
        '45x-["time"]',
        '4599999999999-["time"]',
    ],
)
async def test_a_packet_that_cannot_be_read_is_refused_with_a_reason(session: WebSocket, packet: str) -> None:
    await session.send(packet)
    told = await session.next()
    assert decoded(told, "42")[0] == "space-error"
    assert decoded(told, "42")[1]["code"] == "invalid_input"
    assert (await session.ask('421["time"]', "431"))["ok"], "and the session goes on"


@pytest.mark.parametrize("packet", ['427{"time":1}', "427[]", '427["disconnect","x"]', '427["time",', '457["time"]'])
async def test_a_refused_event_that_asked_for_an_ack_gets_one(session: WebSocket, packet: str) -> None:
    answer = await session.ask(packet, "437")
    assert (answer["ok"], answer["code"]) == (False, "invalid_input")


async def test_a_message_beyond_the_limit_is_refused_with_a_reason(session: WebSocket) -> None:
    answer = await session.ask(f'427["time",{{"x":"{"x" * 65_536}"}}]', "437")
    assert (answer["ok"], answer["code"]) == (False, "too_large")


async def test_a_message_beyond_the_buffer_ends_the_connection(session: WebSocket) -> None:
    with contextlib.suppress(ConnectionError):  # it may end while the rest is being sent
        await session.send(f'427["time",{{"x":"{"x" * 1_100_000}"}}]')
    assert await session.rest() == []


# BINARY_EVENT.


async def test_a_binary_event_waits_for_its_attachments(session: WebSocket) -> None:
    two = '{"a":{"_placeholder":true,"num":0},"b":[{"_placeholder":true,"num":1}]}'
    await session.send(f'452-789["time",{two}]', b"\x01\x02\x03", b"\x04\x05\x06")
    assert decoded(await session.next(), "43789")[0]["ok"]
    await session.connect(OTHER)
    await session.send(f'451-{OTHER},8["time",{{"a":{ATTACHMENT}}}]', b"")
    assert decoded(await session.next(), f"43{OTHER},8")[0]["ok"]


async def test_a_binary_event_before_connect_closes(unconnected: WebSocket) -> None:
    await unconnected.send('451-["time",{"_placeholder":true,"num":0}]', b"\x01")
    assert await unconnected.rest() == ["1"]


async def test_an_attachment_that_nothing_waits_for_is_refused(session: WebSocket) -> None:
    await session.send(b"\x01\x02\x03")
    assert await session.next() == UNREADABLE
    assert (await session.ask('421["time"]', "431"))["ok"]


async def test_text_instead_of_an_attachment_ends_the_event_and_counts_itself(session: WebSocket) -> None:
    await session.send(f'451-7["time",{{"x":{ATTACHMENT}}}]', '428["time"]')
    assert decoded(await session.next(), "42")[1]["error"] == "An attachment is missing."
    assert decoded(await session.next(), "437")[0]["code"] == "invalid_input"
    assert decoded(await session.next(), "438")[0]["ok"]


@pytest.mark.parametrize("count", ["0", "11", "9999999999"])
async def test_too_many_attachments_or_none_are_refused(session: WebSocket, count: str) -> None:
    await session.send(f'45{count}-7["time",{{"x":{ATTACHMENT}}}]')
    assert decoded(await session.next(), "42")[1]["error"] == "A binary event has 1 to 10 attachments."
    assert decoded(await session.next(), "437")[0]["code"] == "invalid_input"
    assert (await session.ask('421["time"]', "431"))["ok"]


@pytest.mark.parametrize("place", ["1", '"x"', "null", "1.5"])
async def test_a_placeholder_of_no_attachment_is_refused(session: WebSocket, place: str) -> None:
    await session.send(f'451-7["time",{{"x":{{"_placeholder":true,"num":{place}}}}}]', b"\x01")
    assert await session.next() == UNREADABLE
    assert decoded(await session.next(), "437")[0]["code"] == "invalid_input"
    assert (await session.ask('421["time"]', "431"))["ok"], "the event that failed waits no more"


async def test_attachments_count_towards_the_limit_of_a_message(session: WebSocket) -> None:
    await session.send(f'453-7["time",{{"x":{ATTACHMENT}}}]', b"x" * 40_000, b"x" * 40_000)
    assert decoded(await session.next(), "42")[1]["code"] == "too_large"
    assert decoded(await session.next(), "437")[0]["code"] == "too_large"
    assert (await session.ask('421["time"]', "431"))["ok"]
