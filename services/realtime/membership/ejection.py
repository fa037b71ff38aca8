"""Removes clients that lost access and tells them why; works even when the event that announced it was lost.

An event of `CHANGES_ACCESS` has its space reviewed at once. Besides, at each lease renewal the access epochs of the
held spaces are read, and a space is reviewed where a client was authorised under another epoch; and the logouts since
the last look are read from their stream. So a lost message costs a second, not a member.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import batched
from time import monotonic, time
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis

from libs.common import cache
from libs.common.bus.base import Bus, Caller
from libs.common.contracts import spaces
from libs.common.contracts.moderation import CHANGES_ACCESS, Kicked
from libs.common.contracts.spaces import Authorization, Review, Reviewed, ReviewedMember
from libs.common.errors import KICKED, UNAUTHORIZED, PresenceError
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.metrics import DROPPED
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background
from services.realtime.membership.authorization import reviewed
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place
from services.realtime.space.parts import SpaceListener
from services.realtime.transport.packets import EventPacket

_log = structlog.get_logger(__name__)
BATCH = 500  # members of one question
RETRY_SECONDS = 0.5
LOGOUT_SECONDS = 30.0  # for which a logout is looked for: the socket may only be connecting when it happens
LOGGED_OUT = "This token was logged out."

type Leave = Callable[[Client, str], Awaitable[None]]
type Silence = Callable[[Client], Awaitable[None]]


class Held(Protocol):
    """The part of a `HeldSpace` that is reviewed."""

    key: SpaceKey
    clients: dict[str, Client]


class Clients(Protocol):
    """The part of a `ClientTable` that is needed."""

    def __iter__(self) -> Iterator[Client]: ...

    async def disconnect(self, client: Client) -> None: ...


class Ejection(SpaceListener):
    """A component. `held` are the replica's spaces; `leave(client, reason)` takes a client out of its space.

    `silence(client)` switches off the voice of one who was muted.
    """

    def __init__(
        self,
        bus: Bus,
        redis: Redis,
        held: Mapping[SpaceKey, Held],
        clients: Clients,
        leave: Leave,
        silence: Silence,
    ) -> None:
        self._bus = bus
        self._redis = redis
        self._held = held
        self._clients = clients
        self._leave = leave
        self._silence = silence
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
        """Has the space reviewed soon if the event changes who may be there."""
        if event_name in CHANGES_ACCESS:
            self._review_soon([space])

    async def look(self) -> None:
        """Looks for lost access and logouts, at each lease renewal. Raises `unavailable` while Redis is away."""
        with cache.redis_unavailable():
            epochs = await cache.read_epochs(self._redis, list(self._held))
            await self._read_logouts()
        self._review_soon(space for space, epoch in epochs.items() if self._is_stale(space, epoch))
        self._end_logged_out()

    def _is_stale(self, key: SpaceKey, epoch: int) -> bool:
        held = self._held.get(key)
        places = [client.place for client in held.clients.values()] if held else []
        now = time()
        return any(place is not None and _is_old(place.authorization, epoch, now) for place in places)

    # Reviews.

    def _review_soon(self, spaces_due: Iterable[SpaceKey]) -> None:
        self._due |= set(spaces_due)
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
        """Asks about everyone who is in the space now, a batch a question."""
        held = self._held.get(key)
        clients = held.clients.values() if held else ()
        placed = [(client, client.place) for client in clients if client.place and client.place.space == key]
        for batch in batched(placed, BATCH):
            request = Review(key.space_type, key.space_id, [_reviewed(client, place) for client, place in batch])
            answer = await self._bus.call(spaces.review, request, Caller(service_identity("realtime"), new_id()))
            self._apply({client.sid: (client, place) for client, place in batch}, answer)

    def _apply(self, asked: Mapping[str, tuple[Client, Place]], answer: Reviewed) -> None:
        for verdict in answer.verdicts:
            client, place = asked[verdict.socket_id]
            if verdict.stays:
                was_muted = place.authorization.muted
                place.authorization = replace(
                    place.authorization,
                    role=verdict.role,
                    epoch=answer.epoch,
                    max_users=answer.max_users,
                    settings=answer.settings,
                    muted=verdict.muted,
                    mute_ends=verdict.mute_ends,
                )
                if verdict.muted and not was_muted:
                    self._begin(self._silence(client))
            else:
                self._begin(self._eject(client, place, Kicked(verdict.reason or "", verdict.code or KICKED.code)))

    async def _eject(self, client: Client, place: Place, reason: Kicked) -> None:
        """Takes a client out in its own turn, so that it is not taken out of a space that it entered since."""
        async with client.turn:
            if client.place is not place:
                return
            _log.info("Socket taken out of a space", sid=client.sid, space=str(place.space), code=reason.code)
            DROPPED.labels(reason.code).inc()
            Broadcast.to_one(client, EventPacket("kicked", reason))
            await self._leave(client, "left" if reason.code == "left" else "kicked")

    # Logouts.

    async def _read_logouts(self) -> None:
        """Reads the logouts since the last look; of the time before the first look there is no client here."""
        if self._last_logout is None:
            newest: Any = await self._redis.xrevrange(cache.LOGOUTS, count=1)
            self._last_logout = newest[0][0] if newest else "0-0"
            return
        entries: Any = await self._redis.xrange(cache.LOGOUTS, min=_after(self._last_logout))
        for position, fields in entries:
            self._last_logout = position
            self._logouts[fields[b"id"].decode()] = monotonic()

    def _end_logged_out(self) -> None:
        oldest = monotonic() - LOGOUT_SECONDS
        self._logouts = {name: seen for name, seen in self._logouts.items() if seen > oldest}
        if self._logouts:
            for client in self._clients:
                identity = client.token.identity
                if identity.token_id in self._logouts or identity.login_id in self._logouts:
                    self._begin(self._end(client))

    async def _end(self, client: Client) -> None:
        DROPPED.labels("logged_out").inc()
        Broadcast.to_one(client, EventPacket("kicked", Kicked(LOGGED_OUT, UNAUTHORIZED.code)))
        await self._clients.disconnect(client)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(_logged(work))
        self._ejecting.add(task)
        task.add_done_callback(self._ejecting.discard)


def _is_old(authorization: Authorization, epoch: int, now: float) -> bool:
    """Returns whether an answer is of another epoch, or of a mute that has ended since."""
    mute_ends = authorization.mute_ends
    return authorization.epoch != epoch or (authorization.muted and mute_ends is not None and mute_ends <= now)


async def _logged(work: Awaitable[None]) -> None:
    try:
        await work
    except PresenceError as error:
        _log.warning("taking a socket out failed", error=str(error))
    except Exception:
        _log.exception("taking a socket out failed")


def _reviewed(client: Client, place: Place) -> ReviewedMember:
    return reviewed(client, place.after_seq if client.is_inside else None)


def _after(position: bytes | str) -> str:
    """Returns XRANGE's form of an open beginning."""
    return f"({position.decode() if isinstance(position, bytes) else position}"
