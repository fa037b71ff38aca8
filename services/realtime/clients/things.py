"""Handles what members do with things. Whoever asks is told by the ack, and everybody, also they, by an event.

A muted member holds, releases and removes; what it would say in a thing's state is `muted`. Where things are closed,
what is there can be released and removed.
"""

from typing import Any

from msgspec import Raw

from libs.common.contracts.moderation import FreeChannel
from libs.common.contracts.things import MAX_STATE_BYTES, ThingMake, ThingNamed, ThingSet
from libs.common.roles import MODERATING
from services.realtime.cluster.thing_store import Actor, Change, ThingStore, size_of, too_large
from services.realtime.rooms.client import Client, Handler
from services.realtime.rooms.speech import require_open, require_words
from services.realtime.space.things import thing_of


class Things:
    """`table` as in `Signals`. Every handler raises what `ThingStore.change` does."""

    def __init__(self, store: ThingStore) -> None:
        self._store = store
        self.table: dict[str, tuple[type, Handler]] = {
            "thing-make": (ThingMake, self.make),
            "thing-hold": (ThingNamed, self.hold),
            "thing-set": (ThingSet, self.set),
            "thing-release": (ThingNamed, self.release),
            "thing-remove": (ThingNamed, self.remove),
        }

    async def make(self, client: Client, request: ThingMake) -> dict[str, Any]:
        """Returns the thing of that id, also where it was there already."""
        who = _speaking(client)
        state = {name: value for name, value in _texts(request.state).items() if value != "null"}
        if size_of(state) > MAX_STATE_BYTES:
            raise too_large()
        return await self._change(client, Change.make(who, request.id, state, hold=request.hold), whole=True)

    async def hold(self, client: Client, request: ThingNamed) -> dict[str, Any]:
        require_open(client.inside(), FreeChannel.THINGS)
        return await self._change(client, _actor(client).does("hold", request.id), whole=True)

    async def set(self, client: Client, request: ThingSet) -> dict[str, Any]:
        who = _speaking(client)
        return await self._change(client, Change.set(who, request.id, _texts(request.state), request.version))

    async def release(self, client: Client, request: ThingNamed) -> dict[str, Any]:
        return await self._change(client, _actor(client).does("release", request.id))

    async def remove(self, client: Client, request: ThingNamed) -> dict[str, Any]:
        return await self._change(client, _actor(client).does("remove", request.id))

    async def _change(self, client: Client, change: Change, *, whole: bool = False) -> dict[str, Any]:
        record = await self._store.change(client.inside().space, change)
        return {"thing": thing_of(record)} if whole else {"version": record.version}


def _actor(client: Client) -> Actor:
    place = client.inside()
    return Actor(place.member, client.home, place.authorization.role in MODERATING)


def _speaking(client: Client) -> Actor:
    place = client.inside()
    require_open(place, FreeChannel.THINGS)
    require_words(place)
    return _actor(client)


def _texts(state: dict[str, Raw]) -> dict[str, str]:
    return {name: bytes(value).decode() for name, value in state.items()}
