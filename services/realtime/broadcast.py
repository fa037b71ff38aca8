"""Writing to sockets. The one place that knows how a broadcast leaves this process."""

from collections.abc import Iterable
from typing import Any

import msgspec
import socketio

from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Registry, Socket
from libs.common.metrics import DELIVERIES
from libs.common.spaces import SpaceKey
from services.realtime.sessions import Session

NAMESPACES = ("/", "/socket.io/")  # the seed's `io('wss://host/socket.io/')` asks for the second


def room(space: SpaceKey, subspace: str) -> str:
    return f"{space}:{subspace}"


class Broadcast:
    """Sends to rooms of python-socketio; a room is a space's subspace."""

    def __init__(self, server: socketio.AsyncServer, registry: Registry) -> None:
        self._server = server
        self._bindings = {
            event.name: [binding for binding in event.bindings if isinstance(binding, Socket)]
            for event in registry.events
        }

    async def send(self, space: SpaceKey, subspace: str, event: str, payload: Any, *, skip: str | None = None) -> None:
        """An ephemeral event to everyone in a subspace."""
        data = msgspec.to_builtins(payload)
        DELIVERIES.labels(event).inc()
        for namespace in NAMESPACES:
            await self._server.emit(event, data, room=room(space, subspace), skip_sid=skip, namespace=namespace)

    async def event(self, space: SpaceKey, event: LoggedEvent, sessions: Iterable[Session]) -> None:
        """A durable event to everyone it concerns, but those whose snapshot already holds it."""
        concerned = [s for s in sessions if s.place and event.subspace in (None, s.place.subspace)]
        for name, data in self.rendered(event):
            DELIVERIES.labels(name).inc()
            for session in concerned:
                if session.place and session.place.early is not None:
                    session.place.early.append((event.seq, name, data))
            await self._to_rooms(space, event, name, data, concerned)

    async def _to_rooms(
        self, space: SpaceKey, event: LoggedEvent, name: str, data: dict[str, Any], concerned: list[Session]
    ) -> None:
        skip = [s.sid for s in concerned if s.place and s.place.after_seq >= event.seq]
        subspaces = {s.place.subspace for s in concerned if s.place}
        for subspace in subspaces:
            for namespace in NAMESPACES:
                await self._server.emit(name, data, room=room(space, subspace), skip_sid=skip, namespace=namespace)

    def rendered(self, event: LoggedEvent) -> list[tuple[str, dict[str, Any]]]:
        """The socket events that the registry binds to a logged event, each with its `seq`."""
        return [
            (binding.event, {**_renamed(event.payload, binding), "seq": event.seq})
            for binding in self._bindings.get(event.name, ())
        ]

    async def admit(self, session: Session, seq: int) -> None:
        """Send what came while the socket was entering, then let it hear the room."""
        place = session.place
        if place is None:
            return
        for number, name, data in place.early or ():
            if number > seq:
                await self.to_one(session, name, data)
        place.early, place.after_seq = None, seq
        await self._server.enter_room(session.sid, room(place.space, place.subspace), namespace=session.namespace)

    async def expel(self, session: Session) -> None:
        """The socket hears the room no more."""
        if session.place:
            name = room(session.place.space, session.place.subspace)
            await self._server.leave_room(session.sid, name, namespace=session.namespace)

    async def to_one(self, session: Session, event: str, payload: Any) -> None:
        data = msgspec.to_builtins(payload)
        await self._server.emit(event, data, to=session.sid, namespace=session.namespace)


def _renamed(payload: dict[str, Any], binding: Socket) -> dict[str, Any]:
    return {binding.rename.get(name, name): value for name, value in payload.items()}
