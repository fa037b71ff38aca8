"""One space on this replica: what arrives on its channel reaches its sockets, in order.

Each held space is one worker with one inbox, so that entering, joins, leaves and durable events are
handled one after the other. Durable events are put in `seq` order: a hole is waited for briefly, then
fetched from the log; what was had already is dropped.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from libs.common.bus.base import Bus, Caller
from libs.common.clock import now, rfc3339
from libs.common.contracts import log
from libs.common.contracts.log import EventsSince, Heads, LoggedEvent
from libs.common.contracts.presence import AvatarUpdated, EntityEventOut
from libs.common.errors import FORBIDDEN, PresenceError
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.metrics import GAPS
from libs.common.spaces import SpaceKey
from services.realtime import wire
from services.realtime.broadcast import Broadcast
from services.realtime.frames import Outgoing
from services.realtime.poses import PoseTicker
from services.realtime.presence import Presence
from services.realtime.sessions import Session
from services.realtime.space_entities import REMOVE, SPAWN, SpaceEntities
from services.realtime.wire import Joined, Left, Logged, Member, Poses, Relay

_log = structlog.get_logger(__name__)
PAGE = 500
RESYNC_SECONDS = 0.5  # after a failure


@dataclass(frozen=True, slots=True)
class Enter:
    """A socket's snapshot is ready: send it with `tell`, then let the socket hear the space."""

    session: Session
    seq: int
    tell: Callable[[Sequence[Member], Sequence[EntityEventOut]], None]
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Head:
    """The log's newest number, as somebody saw it."""

    seq: int


class Resync:
    """Messages may have been missed: read everything again."""


type Item = wire.Message | Enter | Head | Resync


type RosterChanged = Callable[[HeldSpace, str], None]  # a space, and the subspace whose members changed


class HeldSpace:
    """One space on this replica. Everything but `put` runs in its own worker."""

    def __init__(
        self, key: SpaceKey, replica: str, bus: Bus, presence: Presence, broadcast: Broadcast, poses: PoseTicker,
        gap: float, roster_changed: "RosterChanged",
    ) -> None:  # fmt: skip
        self.key = key
        self.holders = 0
        self.is_shared = False
        self.entities = SpaceEntities()
        self.sessions: dict[str, Session] = {}
        self._replica, self._bus, self._presence = replica, bus, presence
        self._broadcast, self._poses, self._gap, self._roster_changed = broadcast, poses, gap, roster_changed
        self._inbox: asyncio.Queue[Item] = asyncio.Queue()
        self._roster: dict[str, Member] = {}
        self._version = 0
        self._seq = 0
        self._ahead: dict[int, LoggedEvent] = {}
        self._gap_timer: asyncio.TimerHandle | None = None

    def put(self, item: Item) -> None:
        self._inbox.put_nowait(item)

    async def open(self) -> None:
        """Read where the space stands; the channel is already subscribed, so nothing falls between."""
        caller = Caller(service_identity("realtime"), new_id())
        found = await self._bus.call(log.heads, Heads([str(self.key)]), caller)
        self._seq = found.heads[str(self.key)]
        roll = await self._presence.roll(self.key)
        self._roster, self._version = roll.members, roll.version
        self.entities.load(await self._presence.entities(self.key))
        self._look_elsewhere()

    def _look_elsewhere(self) -> None:
        """Ephemeral events go to the channel only while another replica has members here."""
        self.is_shared = any(member.replica != self._replica for member in self._roster.values())
        self._poses.share(self.key, shared=self.is_shared)

    def members_of(self, subspace: str) -> list[Member]:
        """Everyone there, of all replicas."""
        return [member for member in self._roster.values() if member.subspace == subspace]

    def has_member(self, socket_id: str, subspace: str) -> bool:
        """Whether that socket, of whatever replica, is in the subspace."""
        member = self._roster.get(socket_id)
        return member is not None and member.subspace == subspace

    async def run(self) -> None:
        """Handle the inbox for ever; a failure costs one item."""
        while True:
            item = await self._inbox.get()
            try:
                await self._handle(item)
            except Exception as error:
                self._failed(item, error)

    def _failed(self, item: Item, error: Exception) -> None:
        """Whoever enters hears of it; whatever else it was, reading everything again makes it good."""
        temporary = isinstance(error, PresenceError)
        log = _log.warning if temporary else _log.exception
        log("space could not handle", space=str(self.key), item=type(item).__name__, error=repr(error))
        if isinstance(item, Enter):
            if not item.done.done():
                item.done.set_exception(error)
        elif not isinstance(item, Poses):
            asyncio.get_running_loop().call_later(RESYNC_SECONDS, self.put, Resync())

    async def _handle(self, item: Item) -> None:
        if isinstance(item, Poses):
            self._on_poses(item)
        elif isinstance(item, Logged):
            await self._on_logged(item.event)
        elif isinstance(item, Relay):
            self._on_relay(item)
        elif isinstance(item, Joined | Left):
            await self._on_presence(item)
        elif isinstance(item, Enter):
            self._on_enter(item)
        elif isinstance(item, Head):
            await self._on_head(item.seq)
        else:
            await self._resync()

    # Presence: the roster decides, so nobody is announced twice.

    async def _on_presence(self, item: Joined | Left) -> None:
        if item.version <= self._version:
            return
        missed = item.version > self._version + 1
        self._version = item.version
        if missed:
            await self._resync_roster()
        elif isinstance(item, Joined):
            self._add(item.member)
        else:
            self._remove(item.socket_id, item.reason, item.timestamp)

    def _add(self, member: Member) -> None:
        if member.socket_id not in self._roster:
            self._broadcast.send(self.key, member.subspace, "user-joined", member.joined(), skip=member.socket_id)
        self._roster[member.socket_id] = member
        self._look_elsewhere()
        self._roster_changed(self, member.subspace)

    def _remove(self, socket_id: str, reason: str, timestamp: str) -> None:
        member = self._roster.pop(socket_id, None)
        if member:
            left = member.left(reason, timestamp)
            self._broadcast.send(self.key, member.subspace, "user-left", left, skip=socket_id)
            self._poses.drop(self.key, member.subspace, socket_id)
            self.entities.drop_of(socket_id)
            self._look_elsewhere()
            self._roster_changed(self, member.subspace)

    async def _resync_roster(self) -> None:
        roll = await self._presence.roll(self.key)
        for socket_id in self._roster.keys() - roll.members.keys():
            self._remove(socket_id, "lost", rfc3339(now()))
        for member in roll.members.values():
            self._add(member)
        self._version = roll.version

    async def _resync(self) -> None:
        await self._resync_roster()
        await self._fetch_gap()

    def _on_poses(self, item: Poses) -> None:
        """Those of members only: a pose may be overtaken by its member's leaving."""
        item.poses = [pose for pose in item.poses if pose.socket_id in self._roster]
        self._poses.take(self.key, item)

    def _on_relay(self, item: Relay) -> None:
        """From a member on another replica."""
        self._note(item)
        packet = Outgoing(item.event, item.payload)
        if item.to is None:
            room = self._broadcast.room(self.key, item.subspace)
            if room:
                room.post(packet, item.sender)
        elif session := self.sessions.get(item.to):
            self._broadcast.to_one(session, packet)

    def _note(self, item: Relay) -> None:
        """What later joiners are to see of it."""
        if item.event == "entity-event" and item.to is None:
            event = msgspec.json.decode(item.payload, type=EntityEventOut)
            if event.name in (SPAWN, REMOVE):
                self.entities.apply(item.subspace, event)
        elif item.event == "avatar-updated" and item.sender in self._roster:
            updated = msgspec.json.decode(item.payload, type=AvatarUpdated)
            self._roster[item.sender].avatar_data = updated.avatar_data

    # Durable events.

    async def _on_logged(self, event: LoggedEvent) -> None:
        if event.seq <= self._seq:
            return
        self._ahead[event.seq] = event
        await self._deliver_in_order()
        if self._ahead and self._gap_timer is None:
            self._gap_timer = asyncio.get_running_loop().call_later(self._gap, self._gap_is_due)

    def _gap_is_due(self) -> None:
        self._gap_timer = None
        if self._ahead:
            self.put(Head(max(self._ahead)))

    async def _on_head(self, seq: int) -> None:
        if seq > self._seq:
            await self._fetch_gap()

    async def _fetch_gap(self) -> None:
        """Everything after what was delivered, from the log."""
        fetched = await self._events_since(self._seq)
        if fetched:
            GAPS.inc()
        self._ahead |= {event.seq: event for event in fetched}
        await self._deliver_in_order()

    async def _events_since(self, after_seq: int) -> list[LoggedEvent]:
        """All pages up to the head."""
        events: list[LoggedEvent] = []
        while True:
            after = events[-1].seq if events else after_seq
            caller = Caller(service_identity("realtime"), new_id())
            request = EventsSince(self.key.space_type, self.key.space_id, after, PAGE)
            page = await self._bus.call(log.events_since, request, caller)
            events += page.events
            if len(page.events) < PAGE:
                return events

    async def _deliver_in_order(self) -> None:
        while event := self._ahead.pop(self._seq + 1, None):
            self._seq = event.seq
            self._broadcast.event(self.key, event, self.sessions.values())
        self._ahead = {seq: event for seq, event in self._ahead.items() if seq > self._seq}

    # Entering.

    def _on_enter(self, item: Enter) -> None:
        """Snapshot, then what came after it, then live: all in this worker's order."""
        session, place = item.session, item.session.place
        if place is None or place.space != self.key:
            raise PresenceError(FORBIDDEN, "The socket left while it was entering.")
        item.tell(self._others(place.subspace, session.sid), self.entities.shown(place.subspace))
        self._broadcast.admit(session, item.seq)
        self._poses.welcome(session)
        if not item.done.done():
            item.done.set_result(None)

    def _others(self, subspace: str, socket_id: str) -> list[Member]:
        """Everyone else in the subspace, where they are now."""
        others = [member for member in self.members_of(subspace) if member.socket_id != socket_id]
        for member in others:
            member.position = self._poses.position_of(self.key, subspace, member.socket_id) or member.position
        return others

    async def missed_since(self, after_seq: int, until: int, subspace: str) -> list[LoggedEvent]:
        """Durable events a client missed between its last number and its snapshot's."""
        return [
            event
            for event in await self._events_since(after_seq)
            if event.seq <= until and event.subspace in (None, subspace)
        ]
