"""People in a space on python-socketio's own client: they reconnect, enter again, and believe what they are told.

What they believe is their model: snapshot plus events. What must never happen to it is in `faults`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Protocol

import aiohttp
import socketio

from tests.support.people import Rest
from tests.support.waiting import eventually

type Model = dict[str, dict[str, Any]]  # everyone else in the space, by socket id, with where they are
type Entities = dict[str, tuple[str, Any]]  # by id: the socket that shows it, and its `x`

ACK_SECONDS = 5.0


class Believer(Protocol):
    """Somebody with a model, on whatever client."""

    @property
    def name(self) -> str: ...

    @property
    def sid(self) -> str: ...

    @property
    def inside(self) -> bool: ...

    @property
    def position(self) -> dict[str, float] | None: ...

    @property
    def model(self) -> Model: ...

    @property
    def faults(self) -> list[str]: ...


class Visitor:
    """A guest with a token. `url` is a replica's own or Caddy's."""

    def __init__(self, url: str, name: str, token: str, space: str) -> None:
        self.url, self.name, self.token, self.space = url, name, token, space
        self.model: Model = {}
        self.entities: Entities = {}
        self.messages: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.disconnects = 0
        self.position: dict[str, float] | None = None
        self.inside = False
        self.refusal: Any = None  # of the last that was refused
        self.wants_in = False
        self._attempts = 0  # to enter, under way: an ack that is late is no reason to think that one failed
        self._entering = asyncio.Lock()
        self._client = self._new_client()

    def _new_client(self) -> socketio.AsyncClient:
        client = socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=0.5, handle_sigint=False)
        for event, handler in {
            "connect": self._connected,
            "disconnect": self._disconnected,
            "space-joined": self._joined,
            "user-joined": self._user_joined,
            "user-left": self._user_left,
            "aframe-update": self._moved,
            "chat-message": self._told,
            "entity-event": self._of_entity,
        }.items():
            client.on(event, handler)
        return client

    @property
    def sid(self) -> str:
        """Its socket's id; empty while it has none."""
        return self._client.get_sid() or "" if self._client.connected else ""

    @property
    def settled(self) -> bool:
        """Whether it is where it wants to be, and asks for nothing else."""
        return self.inside == self.wants_in and not self._attempts

    async def connect(self) -> None:
        async with asyncio.timeout(30):
            await self._client.connect(self.url, auth={"token": self.token}, transports=["websocket"], wait_timeout=20)

    async def close(self) -> None:
        await self._client.disconnect()

    async def close_saying(self, content: str) -> None:
        """Leaves for good with a last word, whose ack it does not wait for."""
        await self._client.emit("chat-message", {"content": content})
        await self._client.disconnect()

    async def break_off(self) -> None:
        """Ends the connection without a word, as a lost network does, and sees that it did; then it connects again."""
        client, before = self._client, self.disconnects
        connection = client.eio.ws._response.connection
        if connection and connection.transport:  # else it is gone already
            connection.transport.abort()
            await eventually(lambda: self.disconnects > before or not client.connected)

    async def stay_away(self) -> None:
        """Breaks off likewise, and does not connect again."""
        self._client.reconnection = False
        await self.break_off()

    def come_back_to(self, url: str) -> None:
        """Sets the URL for its next connection."""
        self._client.connection_url = url

    def also_on(self, event: str, note: Callable[[dict[str, Any]], None]) -> None:
        """Have `note` told as well, after the model."""
        before = self._client.handlers["/"][event]

        async def both(told: dict[str, Any]) -> None:
            await before(told)
            note(told)

        self._client.on(event, both)

    # What it does.

    async def enter(self) -> None:
        """Be in the space, and be there again after every break."""
        self.wants_in = True
        self._attempts += 1
        try:
            await eventually(self._enter)
        except AssertionError:
            raise AssertionError(f"{self.name} could not enter: {self.refusal}") from None
        finally:
            self._attempts -= 1

    async def _enter(self) -> bool:
        async with self._entering:
            if not self.wants_in:
                return True
            last = {"after_seq": self.messages[-1]["seq"]} if self.messages else {}
            here = {"position": self.position} if self.position else {}
            ack = await self._call("join-space", {"spaceType": "event", "spaceId": self.space, **last, **here})
        if ack.get("ok") and self.position and here.get("position") != self.position:
            await self.move(self.position["x"], self.position["z"])  # it moved while it was entering
        return bool(ack.get("ok"))

    async def leave(self) -> None:
        self.wants_in = self.inside = False
        await eventually(lambda: self._ok("leave-space", {}))
        self.inside = False  # a join that was tried again may have come through on the way
        self.model.clear()

    async def move(self, x: float, z: float) -> None:
        self.position = {"x": x, "y": 0.0, "z": z}
        with contextlib.suppress(socketio.exceptions.SocketIOError):
            await self._client.emit("aframe-update", {"position": self.position})

    async def tell_of(self, event: str, entity_id: str, x: int) -> bool:
        """Spawns, changes or removes an entity; returns whether that was taken."""
        ok = await self._ok("entity-event", {"name": event, "data": {"id": entity_id, "x": x}})
        if ok:
            await self._of_entity({"name": event, "socketId": self.sid, "data": {"id": entity_id, "x": x}})
        return ok

    async def say(self, content: str) -> None:
        """Until it is acknowledged, as a client does."""
        try:
            await eventually(lambda: self._ok("chat-message", {"content": content, "client_message_id": content}))
        except AssertionError:
            raise AssertionError(f"{self.name} could not say anything: {self.refusal}") from None

    async def _ok(self, event: str, payload: dict[str, Any]) -> bool:
        return bool((await self._call(event, payload)).get("ok"))

    async def _call(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            ack: dict[str, Any] = await self._client.call(event, payload, timeout=ACK_SECONDS)
        except (socketio.exceptions.SocketIOError, aiohttp.ClientError) as error:
            ack = {"ok": False, "error": repr(error)}
            await self._wake()
        self.refusal = None if ack["ok"] else ack
        return ack

    async def _wake(self) -> None:
        """A connection that breaks while it is being made leaves the library believing in it for ever, connected to
        nothing (python-socketio 5.18.1): begin again with a new client."""
        if self._client.eio.state == "disconnected" and self._client._reconnect_task is None:
            await self._disconnected()
            self._client = self._new_client()
            with contextlib.suppress(socketio.exceptions.SocketIOError, TimeoutError):
                await self.connect()

    # What it is told.

    async def _connected(self) -> None:
        if self.wants_in:
            await self.enter()

    async def _disconnected(self, _reason: str = "") -> None:
        self.disconnects += 1
        self.inside = False
        self.model.clear()

    async def _joined(self, told: dict[str, Any]) -> None:
        self.inside = True
        self.model = {user["socketId"]: user for user in told["users"]}
        self.entities = {event["data"]["id"]: (event["socketId"], event["data"]["x"]) for event in told["entities"]}
        if not self.messages or told["gap"]:  # nothing is sent again then: the snapshot is the truth
            last = self.messages[-1]["seq"] if self.messages else 0
            self.messages += [message for message in told["messages"] if message["seq"] > last]

    async def _user_joined(self, user: dict[str, Any]) -> None:
        if user["socketId"] in self.model:
            self.faults.append(f"{user['socketId']} announced twice")
        self.model[user["socketId"]] = user

    async def _user_left(self, told: dict[str, Any]) -> None:
        if self.model.pop(told["socketId"], None) is None:
            self.faults.append(f"{told['socketId']} left and was not there")
        for entity_id in [name for name, (owner, _) in self.entities.items() if owner == told["socketId"]]:
            if "successor" in told:
                self.entities[entity_id] = told["successor"], self.entities[entity_id][1]
            else:
                del self.entities[entity_id]

    async def _of_entity(self, event: dict[str, Any]) -> None:
        entity_id, x = event["data"]["id"], event["data"].get("x")
        if event["name"] == "spawn":
            self.entities[entity_id] = event["socketId"], x
        elif event["name"] == "remove":
            self.entities.pop(entity_id, None)
        elif entity_id in self.entities:
            self.entities[entity_id] = self.entities[entity_id][0], x

    async def _moved(self, pose: dict[str, Any]) -> None:
        if pose["socketId"] in self.model:
            self.model[pose["socketId"]]["position"] = pose["entityData"]["position"]

    async def _told(self, message: dict[str, Any]) -> None:
        if self.messages and message["seq"] <= self.messages[-1]["seq"]:
            self.faults.append(f"{message['content']!r} came again, or too late")
        self.messages.append(message)

    @property
    def heard(self) -> list[str]:
        return [message["content"] for message in self.messages]

    def has_heard(self, contents: Iterable[str]) -> bool:
        return set(contents) <= set(self.heard)


@contextlib.asynccontextmanager
async def visitors(rest: Rest, space: str, urls: list[str], tabs: int = 1) -> AsyncIterator[list[Visitor]]:
    """One a URL, each `tabs` in a row one person; connected and in the space; all gone afterwards."""
    made: list[Visitor] = []
    token = ""
    try:
        for number, url in enumerate(urls):
            if number % tabs == 0:
                token = (await rest.post("/api/auth/guest", {"display_name": f"v{number}"}))["token"]
            made.append(Visitor(url, f"v{number}", token, space))
        await asyncio.gather(*(visitor.connect() for visitor in made))
        await asyncio.gather(*(visitor.enter() for visitor in made))
        yield made
    finally:
        await asyncio.gather(*(visitor.close() for visitor in made))


def disagreement(people: Sequence[Believer]) -> str:
    """Why their models are not all of the same room, which is the room they are in; empty when they are."""
    inside = {person.sid: person for person in people if person.inside}
    for person in inside.values():
        others = inside.keys() - {person.sid}
        if person.model.keys() != others:
            missing, ghosts = others - person.model.keys(), person.model.keys() - others
            return f"{person.name} misses {sorted(missing)} and sees the ghosts {sorted(ghosts)}"
        for sid in others:
            meant = inside[sid].position
            if meant and person.model[sid]["position"] != meant:
                return f"{person.name} sees {inside[sid].name} at {person.model[sid]['position']}, not {meant}"
    return ""


async def agree(people: Sequence[Believer], seconds: float = 30.0) -> None:
    """Wait until everybody's model is right; nobody was told what must never be said."""
    reason = ""

    def right() -> bool:
        nonlocal reason
        reason = disagreement(people)
        return not reason

    try:
        await eventually(right, seconds)
    except AssertionError:
        raise AssertionError(reason) from None
    faults = [f"{person.name}: {fault}" for person in people for fault in person.faults]
    assert not faults, faults
