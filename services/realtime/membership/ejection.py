"""Whoever may not be in a space any more is told why and taken out of it, also when no message said so.

An event of `CHANGES_ACCESS` has its space reviewed at once. Besides, at each lease renewal the access epochs of the
held spaces are read, and a space is reviewed where a socket was authorised under another one; and the logouts since
the last look are read from their stream. So a lost message costs a second, not a member.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from itertools import batched
from time import monotonic
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis

from libs.common import cache
from libs.common.bus.base import Bus, Caller
from libs.common.contracts import spaces
from libs.common.contracts.moderation import CHANGES_ACCESS, Kicked
from libs.common.contracts.spaces import Review, Reviewed, ReviewedMember
from libs.common.errors import UNAUTHORIZED, PresenceError
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.metrics import DROPPED
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background
from services.realtime.membership.authorization import reviewed
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place
from services.realtime.transport.packets import EventPacket

_log = structlog.get_logger(__name__)
BATCH = 500  # members of one question
RETRY_SECONDS = 0.5
LOGOUT_SECONDS = 30.0  # for which a logout is looked for: the socket may only be connecting when it happens
LOGGED_OUT = "This token was logged out."

type Leave = Callable[[Client, str], Awaitable[None]]
type Disconnect = Callable[[Client], Awaitable[None]]


class Held(Protocol):
    """What is needed of a `HeldSpace`."""

    key: SpaceKey
    clients: dict[str, Client]


class Ejection:
    """A component. `held` are the replica's spaces, `clients` all of its sockets.

    `leave(client, reason)` takes a socket out of its space, `disconnect(client)` ends its connection.
    """

    def __init__(
        self, bus: Bus, redis: Redis, held: Mapping[SpaceKey, Held], clients: Callable[[], Iterable[Client]],
        leave: Leave, disconnect: Disconnect,
    ) -> None:  # fmt: skip
        self._bus, self._redis, self._held, self._sessions = bus, redis, held, clients
        self._leave, self._disconnect = leave, disconnect
        self._due: set[SpaceKey] = set()
        self._wake = asyncio.Event()
        self._last_logout: bytes | str | None = None
        self._logouts: dict[str, float] = {}  # token or login id → when it was read here
        self._ejecting: set[asyncio.Task[None]] = set()
        self._background = Background()

    async def start(self) -> None:
        self._background.begin(self._review_forever())

    async def stop(self) -> None:
        await self._background.end()
        for task in list(self._ejecting):
            task.cancel()
        await asyncio.gather(*self._ejecting, return_exceptions=True)

    def on_event(self, space: SpaceKey, event_name: str) -> None:
        """A durable event of a held space; does not wait."""
        if event_name in CHANGES_ACCESS:
            self._review_soon([space])

    async def look(self) -> None:
        """At each lease renewal. Raises `unavailable` while Redis is away."""
        with cache.redis_unavailable():
            epochs = await cache.read_epochs(self._redis, list(self._held))
            await self._read_logouts()
        self._review_soon(space for space, epoch in epochs.items() if self._is_stale(space, epoch))
        self._end_logged_out()

    def _is_stale(self, key: SpaceKey, epoch: int) -> bool:
        held = self._held.get(key)
        places = [client.place for client in held.clients.values()] if held else []
        return any(place is not None and place.authorization.epoch != epoch for place in places)

    # Reviews.

    def _review_soon(self, found: Iterable[SpaceKey]) -> None:
        self._due |= set(found)
        if self._due:
            self._wake.set()

    async def _review_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, set()
            outcomes = await asyncio.gather(*(self._review(key) for key in due), return_exceptions=True)
            failed = [key for key, outcome in zip(due, outcomes, strict=True) if isinstance(outcome, Exception)]
            if failed:
                _log.warning("reviews wait", spaces=len(failed), error=repr(next(filter(None, outcomes))))
                await asyncio.sleep(RETRY_SECONDS)
                self._review_soon(failed)

    async def _review(self, key: SpaceKey) -> None:
        """Ask about everyone who is there now, a batch a question."""
        held = self._held.get(key)
        there = [(s, s.place) for s in held.clients.values() if s.place and s.place.space == key] if held else []
        for batch in batched(there, BATCH):
            request = Review(key.space_type, key.space_id, [_reviewed(client, place) for client, place in batch])
            found = await self._bus.call(spaces.review, request, Caller(service_identity("realtime"), new_id()))
            self._apply({client.sid: (client, place) for client, place in batch}, found)

    def _apply(self, asked: Mapping[str, tuple[Client, Place]], found: Reviewed) -> None:
        for verdict in found.verdicts:
            client, place = asked[verdict.socket_id]
            if verdict.stays:
                place.authorization = replace(
                    place.authorization,
                    role=verdict.role, epoch=found.epoch, max_users=found.max_users, settings=found.settings,
                )  # fmt: skip
            else:
                self._begin(self._eject(client, place, Kicked(verdict.reason or "", verdict.code or "kicked")))

    async def _eject(self, client: Client, place: Place, told: Kicked) -> None:
        """In the socket's own turn, so that it is not taken out of another space than the one it was in."""
        async with client.turn:
            if client.place is not place:
                return
            _log.info("Socket taken out of a space", sid=client.sid, space=str(place.space), code=told.code)
            DROPPED.labels(told.code).inc()
            Broadcast.to_one(client, EventPacket("kicked", told))
            await self._leave(client, "left" if told.code == "left" else "kicked")

    # Logouts.

    async def _read_logouts(self) -> None:
        """Those since the last look; of the time before the first there is no socket here."""
        if self._last_logout is None:
            newest: Any = await self._redis.xrevrange(cache.LOGOUTS, count=1)
            self._last_logout = newest[0][0] if newest else "0-0"
            return
        found: Any = await self._redis.xrange(cache.LOGOUTS, min=_after(self._last_logout))
        for position, fields in found:
            self._last_logout = position
            self._logouts[fields[b"id"].decode()] = monotonic()

    def _end_logged_out(self) -> None:
        oldest = monotonic() - LOGOUT_SECONDS
        self._logouts = {name: seen for name, seen in self._logouts.items() if seen > oldest}
        if self._logouts:
            for client in list(self._sessions()):
                identity = client.token.identity
                if identity.token_id in self._logouts or identity.login_id in self._logouts:
                    self._begin(self._end(client))

    async def _end(self, client: Client) -> None:
        DROPPED.labels("logged_out").inc()
        Broadcast.to_one(client, EventPacket("kicked", Kicked(LOGGED_OUT, UNAUTHORIZED.code)))
        await self._disconnect(client)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(_logged(work))
        self._ejecting.add(task)
        task.add_done_callback(self._ejecting.discard)


async def _logged(work: Awaitable[None]) -> None:
    try:
        await work
    except PresenceError as error:
        _log.warning("taking a socket out failed", error=str(error))
    except Exception:
        _log.exception("taking a socket out failed")


def _reviewed(client: Client, place: Place) -> ReviewedMember:
    return reviewed(client, None if place.early is not None else place.after_seq)


def _after(position: bytes | str) -> str:
    """XRANGE's form of an open beginning."""
    return f"({position.decode() if isinstance(position, bytes) else position}"
