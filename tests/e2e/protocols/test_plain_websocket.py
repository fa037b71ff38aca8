"""The wallet's plain WebSocket: JSON objects with a `type`, in the same rooms as everyone else, by the same rules."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec
import pytest

from deploy.local.stack import Stack
from tests.support.node import Node
from tests.support.people import Rest
from tests.support.waiting import eventually
from tests.support.wire import ENDED, PATH, WAIT_SECONDS

WEBSOCKET_ONLY = {"transports": ["websocket"]}


class Plain:
    """One plain WebSocket; `received` is everything it got, in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.received: list[Any] = []

    async def say(self, kind: str, **fields: Any) -> None:
        await self._socket.send_str(msgspec.json.encode({"type": kind, **fields}).decode())

    async def raw(self, data: str | bytes) -> None:
        await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))

    async def next(self, kind: str) -> Any:
        """The next message of that type; those before it are kept in `received`."""
        while True:
            message = await self._socket.receive(WAIT_SECONDS)
            if message.type in ENDED:
                raise ConnectionError(self.received)
            self.received.append(msgspec.json.decode(message.data))
            if self.received[-1]["type"] == kind:
                return self.received[-1]

    async def join(self, space: str, **more: Any) -> Any:
        await self.say("join-space", spaceType="event", spaceId=space, **more)
        return await self.next("space-joined")

    async def close(self) -> None:
        await self._socket.close()


type Open = Callable[..., Any]


@pytest.fixture
async def plain(stack: Stack) -> AsyncIterator[Open]:
    """Opens plain WebSockets: `await plain(query="?token=...", headers={...})`."""
    async with AsyncExitStack() as closing:
        http = await closing.enter_async_context(aiohttp.ClientSession())

        async def connect(query: str = "", headers: dict[str, str] | None = None) -> Plain:
            socket = await http.ws_connect(stack.url + PATH + query, headers=headers or {})
            closing.push_async_callback(socket.close)
            return Plain(socket)

        yield connect


async def test_a_plain_client_joins_relays_and_leaves_among_clients_of_both_kinds(
    stack: Stack, rest: Rest, node: Node, plain: Open
) -> None:
    usual = await node.connect("usual", stack.url, WEBSOCKET_ONLY)
    await usual.join("event", "plain")
    one, two = await plain(), await plain()
    me = (await one.next("connected"))["socketId"]
    joined = await one.join("plain", subspace="main")
    assert (joined["success"], joined["role"]) == (True, "guest")
    assert {user["socketId"] for user in joined["users"]} == {usual.sid}
    assert (await usual.wait_for("user-joined"))["socketId"] == me
    other = (await two.next("connected"))["socketId"]
    await two.join("plain")
    assert (await one.next("user-joined"))["socketId"] == other
    assert len((await rest.get("/api/spaces/event/plain"))["connected_users"]) == 3

    await one.say("dice-rolled", eyes=[6, 6], socketId="a lie", userAccount="alice")
    told = await two.next("dice-rolled")
    assert told == {"type": "dice-rolled", "eyes": [6, 6], "socketId": me, "userAccount": None}
    seen = await usual.wait_for("entity-event")
    assert (seen["socketId"], seen["name"], seen["data"]["eyes"]) == (me, "dice-rolled", [6, 6])
    assert (await usual.emit("entity-event", {"name": "card-played", "data": {"card": "ж"}}))["ok"]
    assert (await one.next("card-played"))["card"] == "ж"

    await one.say("chat-message", content="said in plain JSON")
    for client in (one, two):
        assert (await client.next("chat-message"))["content"] == "said in plain JSON"
    assert (await usual.wait_for("chat-message"))["guest"]
    await usual.send("aframe-update", {"position": {"x": 1, "y": 2, "z": 3}})
    pose = await one.next("aframe-update")
    assert (pose["socketId"], pose["entityData"]["position"]["x"]) == (usual.sid, 1)
    await two.say("aframe-update", position={"x": 7, "y": 0, "z": 0})
    await usual.wait_for("aframe-update", lambda pose: pose["socketId"] == other)

    await two.close()
    assert (await one.next("user-left"))["socketId"] == other
    await one.say("leave-space")
    await usual.wait_for("user-left", lambda left: left["socketId"] == me)


@pytest.mark.parametrize("way", ["query", "header", "join-space"])
async def test_a_token_says_who_it_is(rest: Rest, plain: Open, way: str) -> None:
    token = await rest.token("alice")
    client = await plain(
        f"?token={token}" if way == "query" else "", {"Authorization": f"Bearer {token}"} if way == "header" else None
    )
    await client.join(f"plain-token-{way}", **({"token": token} if way == "join-space" else {}))
    await client.say("chat-message", content=f"by {way}")
    assert (await client.next("chat-message"))["user_account"] == "alice"


async def test_a_bad_token_is_told_and_the_connection_ends(plain: Open) -> None:
    client = await plain("?token=junk")
    assert (await client.next("space-error"))["code"] == "unauthorized"
    with pytest.raises(ConnectionError):
        await client.next("connected")


async def test_a_plain_client_is_refused_what_it_may_not_and_stays(stack: Stack, node: Node, plain: Open) -> None:
    watcher = await node.connect("watcher", stack.url, WEBSOCKET_ONLY)
    await watcher.join("event", "plain-refused")
    client = await plain()
    await client.say("dance")
    assert (await client.next("space-error"))["code"] == "forbidden", "it is in no space yet"
    await client.say("join-space", spaceType="post", spaceId="carol/not-for-you")
    assert (await client.next("space-error"))["code"] == "not_found"
    await client.join("plain-refused")
    bad = ["", "junk", "[]", "{}", '{"type":5}', '{"type":"a","x":NaN}', "[" * 50_000, b'{"type":"a"}\xff']
    ours = [f'{{"type":"{kind}"}}' for kind in ("user-left", "space-joined", "kicked", "server-draining", "connect")]
    for sent in [*bad, *ours]:
        await client.raw(sent)
        assert (await client.next("space-error"))["code"] == "invalid_input", sent
    await client.say("big", data="x" * 65_536)
    assert (await client.next("space-error"))["code"] == "too_large"
    await client.say("chat-message", content="")
    assert (await client.next("chat-error"))["code"] == "invalid_input"
    await client.say("fine")
    await watcher.wait_for("entity-event")
    assert [event["name"] for event in watcher.received("entity-event")] == ["fine"]


LOOK_ALIKES = [
    "https://evil-dlux.io",
    "https://dlux.io.evil.com",
    "https://a.b.ipfs.dlux.io",
    "https://dlux.io:444",
    "null",
]
OURS = ["https://dlux.io", "https://alice.ipfs.dlux.io", "http://localhost:5173"]


@pytest.mark.parametrize("origin", LOOK_ALIKES)
async def test_a_foreign_origin_is_refused(stack: Stack, plain: Open, origin: str) -> None:
    """By each kind of socket, and by polling with an answer that its page cannot read."""
    async with aiohttp.ClientSession(stack.url, headers={"Origin": origin}) as http:
        for path, status in (("/", 403), (PATH, 403), (f"{PATH}?EIO=4&transport=websocket", 400)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await http.ws_connect(path)
            assert refusal.value.status == status
        async with http.get(f"{PATH}?EIO=4&transport=polling") as answer:
            assert answer.status == 400
            assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("origin", OURS)
async def test_a_page_of_ours_connects_in_every_way_and_reads_every_answer(stack: Stack, origin: str) -> None:
    async with aiohttp.ClientSession(stack.url, headers={"Origin": origin}) as http:
        for path in ("/", PATH, f"{PATH}?EIO=4&transport=websocket"):
            async with http.ws_connect(path) as socket:
                assert await socket.receive_str(timeout=WAIT_SECONDS)
        for path, status in ((f"{PATH}?EIO=4&transport=polling", 200), (PATH, 400), ("/socket.io/none", 404)):
            async with http.get(path) as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == origin
                assert "Origin" in answer.headers["Vary"]
        async with http.delete(PATH) as answer:
            assert answer.status == 405
            assert answer.headers["Access-Control-Allow-Origin"] == origin


async def test_the_url_that_a_join_names_is_dialled_as_it_is(rest: Rest, plain: Open) -> None:
    """With the admission in the first message, or as a guest."""
    joined = await rest.post("/api/spaces/event/as-it-is/join", {}, await rest.token("alice"))
    async with aiohttp.ClientSession() as http, http.ws_connect(joined["websocket_url"]) as socket:
        alice = Plain(socket)
        told = await alice.join("as-it-is", token=joined["session_token"])
        assert told["role"] == "visitor"
        guest = await plain()
        await guest.join("as-it-is")
        assert (await alice.next("user-joined"))["userAccount"] is None
        await alice.say("dice-rolled", eyes=[1, 2])
        assert (await guest.next("dice-rolled"))["userAccount"] == "alice"


async def test_a_plain_get_without_eio_is_still_a_400(stack: Stack) -> None:
    async with aiohttp.ClientSession() as http, http.get(stack.url + PATH) as response:
        assert response.status == 400


async def test_one_that_goes_without_a_word_is_seen_to_leave(stack: Stack, node: Node, plain: Open) -> None:
    watcher = await node.connect("watcher", stack.url, WEBSOCKET_ONLY)
    await watcher.join("event", "plain-gone")
    client = await plain()
    await client.join("plain-gone")
    response = client._socket._response
    assert response.connection
    assert response.connection.transport
    response.connection.transport.abort()
    await eventually(lambda: watcher.received("user-left"))
