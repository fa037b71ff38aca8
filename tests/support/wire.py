"""Engine.IO and Socket.IO by hand, frame by frame: for what a client library would hide or never send.

async with Polling(stack.url) as session:            # or WebSocket(stack.url)
    await session.connect()                          # CONNECT to the default namespace
    await session.send('42["time"]')
"""

from typing import Any, Self

import aiohttp
import msgspec

PATH = "/socket.io/"
SEPARATOR = "\x1e"
WAIT_SECONDS = 20.0
ENDED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


def decoded(packet: str | bytes, start: str) -> Any:
    """The JSON of a packet that must begin with `start`."""
    assert isinstance(packet, str)
    assert packet.startswith(start), packet
    return msgspec.json.decode(packet[len(start) :])


class Polling:
    """An Engine.IO session over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url + PATH
        self.http = aiohttp.ClientSession()
        self.handshake: dict[str, Any] = {}
        self._received: list[str] = []

    async def __aenter__(self) -> Self:
        try:
            status, packets = await self.get()
        except BaseException:
            await self.http.close()
            raise
        assert status == 200, packets
        self.handshake = decoded(packets[0], "0")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    @property
    def sid(self) -> str:
        return str(self.handshake["sid"])

    @property
    def query(self) -> dict[str, str]:
        sid = {"sid": self.sid} if self.handshake else {}
        return {"EIO": "4", "transport": "polling", **sid}

    async def get(self) -> tuple[int, list[str]]:
        """One poll: status, and its packets (or the error)."""
        async with self.http.get(self.url, params=self.query) as response:
            return response.status, (await response.text()).split(SEPARATOR)

    async def post(self, *packets: str) -> int:
        """The status of a POST of these packets."""
        async with self.http.post(self.url, params=self.query, data=SEPARATOR.join(packets)) as response:
            await response.read()
            return response.status

    async def send(self, packet: str) -> None:
        assert await self.post(packet) == 200

    async def next(self) -> str:
        """The next packet but PINGs, which are answered."""
        while True:
            while not self._received:
                status, packets = await self.get()
                assert status == 200, packets
                self._received = packets
            packet = self._received.pop(0)
            if packet != "2":
                return packet
            await self.send("3")

    async def connect(self) -> str:
        """CONNECT; the socket id."""
        await self.send("40")
        return str(decoded(await self.next(), "40")["sid"])

    async def probe(self) -> "WebSocket":
        """A WebSocket of this session that was probed, and not yet taken over."""
        web_socket = WebSocket(self.url.removesuffix(PATH), sid=self.sid)
        await web_socket.open()
        await web_socket.send("2probe")
        assert await web_socket.next() == "3probe"
        return web_socket


class WebSocket:
    """An Engine.IO session over WebSocket, from the start or, with `sid`, that of a session that polls."""

    def __init__(self, url: str, sid: str | None = None) -> None:
        self._url, self._sid = url + PATH, sid
        self._http = aiohttp.ClientSession()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.handshake: dict[str, Any] = {}

    @property
    def socket(self) -> aiohttp.ClientWebSocketResponse | None:
        return self._socket

    async def __aenter__(self) -> Self:
        await self.open()
        if self._sid is None:
            self.handshake = decoded(await self.next(), "0")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        sid = {"sid": self._sid} if self._sid else {}
        query = {"EIO": "4", "transport": "websocket", **sid}
        try:
            self._socket = await self._http.ws_connect(self._url, params=query)
        except BaseException:
            await self._http.close()
            raise

    async def close(self) -> None:
        if self._socket:
            await self._socket.close()
        await self._http.close()

    async def send(self, *packets: str | bytes) -> None:
        assert self._socket
        for packet in packets:
            await (self._socket.send_bytes(packet) if isinstance(packet, bytes) else self._socket.send_str(packet))

    async def next(self) -> str | bytes:
        """The next packet but PINGs, which are answered. Raises `ConnectionError` when the server has ended it."""
        packet = await self.next_of_all()
        while packet == "2":
            await self.send("3")
            packet = await self.next_of_all()
        return packet

    async def next_of_all(self) -> str | bytes:
        """The next packet, be it a PING."""
        assert self._socket
        message = await self._socket.receive(WAIT_SECONDS)
        if message.type in ENDED:
            raise ConnectionError(self._socket.close_code)
        packet: str | bytes = message.data
        return packet

    async def rest(self) -> list[str | bytes]:
        """All that comes until the server ends the connection."""
        packets: list[str | bytes] = []
        try:
            while True:
                packets.append(await self.next_of_all())
        except ConnectionError:
            return packets

    async def connect(self, namespace: str = "", auth: str = "") -> str:
        """CONNECT; the socket id."""
        prefix = f"40{namespace}," if namespace else "40"
        await self.send(prefix + auth)
        return str(decoded(await self.next(), prefix)["sid"])

    async def ask(self, packet: str, ack: str) -> Any:
        """Send an event; what its ack, which must begin with `ack`, says. Other events meanwhile are passed over."""
        await self.send(packet)
        while True:
            answer = await self.next()
            if isinstance(answer, str) and answer.startswith(ack):
                return decoded(answer, ack)[0]
