"""The sockets of this replica, by id."""

from collections.abc import Iterator

import socketio

from libs.common.metrics import SOCKETS
from services.realtime.rooms.client import Client


class ClientTable:
    """Made before everything that looks clients up, and filled by `clients/sockets.py`."""

    def __init__(self, server: socketio.AsyncServer) -> None:
        self._server = server
        self._by_id: dict[str, Client] = {}

    def __iter__(self) -> Iterator[Client]:
        """Iterates over a copy: clients come and go while others are told something."""
        return iter(list(self._by_id.values()))

    def get(self, sid: str) -> Client | None:
        return self._by_id.get(sid)

    def add(self, client: Client) -> None:
        self._by_id[client.sid] = client
        SOCKETS.set(len(self._by_id))

    def remove(self, sid: str) -> Client | None:
        """Returns the client that was there."""
        client = self._by_id.pop(sid, None)
        SOCKETS.set(len(self._by_id))
        return client

    async def disconnect(self, client: Client) -> None:
        """Ends a connection for cause; its client was told the cause before."""
        await self._server.disconnect(client.sid, namespace=client.namespace)
