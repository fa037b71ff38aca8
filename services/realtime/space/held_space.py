"""One space on this replica: what arrives on its channel reaches its sockets, in order.

Each held space is one worker with one inbox, so that entering, joins, leaves and durable events are
handled one after the other. Durable events are put in `seq` order: a hole is waited for briefly, then
fetched from the log; what was had already is dropped.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

import msgspec
import structlog

from libs.common.bus.base import Bus, Caller
from libs.common.clock import now, rfc3339
from libs.common.contracts import log
from libs.common.contracts.log import EventsSince, Heads, LoggedEvent
from libs.common.contracts.members import Member
from libs.common.contracts.presence import AvatarUpdated, EntityEventOut
from libs.common.contracts.voice import VoiceState
from libs.common.errors import FORBIDDEN, PresenceError
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.metrics import GAPS
from libs.common.spaces import SpaceKey
from services.realtime.cluster import messages
from services.realtime.cluster.messages import AskPoses, FromMember, Logged, MembersJoined, MembersLeft, Poses
from services.realtime.cluster.presence import Presence
from services.realtime.poses.ticker import PoseTicker
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client
from services.realtime.space.entities import REMOVE, SPAWN, SpaceEntities
from services.realtime.space.roster import Roster
from services.realtime.transport.packets import EventPacket

_log = structlog.get_logger(__name__)
PAGE = 500
RESYNC_SECONDS = 0.5  # after a failure


@dataclass(frozen=True, slots=True)
class Enter:
    """A socket's snapshot is ready: send it with `tell`, then let the socket hear the space."""

    client: Client
    seq: int
    tell: Callable[[msgspec.Raw, Sequence[EntityEventOut]], None]
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Head:
    """The log's newest number, as somebody saw it."""

    seq: int


class Resync:
    """Messages may have been missed: read everything again."""


type Item = messages.Message | Enter | Head | Resync


type RosterChanged = Callable[[HeldSpace, str], None]  # a space, and the subspace whose members changed
type Delivered = Callable[[SpaceKey, str], None]  # a durable event, by its name


class HeldSpace:
    """One space on this replica. Everything but `put` runs in its own worker."""

    def __init__(
        self, key: SpaceKey, replica: str, bus: Bus, presence: Presence, broadcast: Broadcast, poses: PoseTicker,
        gap: float, roster_changed: "RosterChanged", delivered: "Delivered",
    ) -> None:  # fmt: skip
        self.key = key
        self.holders = 0
        self.entities = SpaceEntities()
        self.roster = Roster(replica)
        self.clients: dict[str, Client] = {}
        self.entering: dict[str, Client] = {}  # of `clients`, those that wait for their snapshot
        self._replica, self._bus, self._presence = replica, bus, presence
        self._broadcast, self._poses, self._gap, self._roster_changed = broadcast, poses, gap, roster_changed
        self._delivered = delivered
        self._inbox: asyncio.PriorityQueue[tuple[bool, int, Item]] = asyncio.PriorityQueue()
        self._put = count()
        self.seq = 0  # of the last durable event that was delivered
        self._ahead: dict[int, LoggedEvent] = {}
        self._gap_timer: asyncio.TimerHandle | None = None

    def put(self, item: Item) -> None:
        """In order; but those who enter wait until nobody inside has anything left to hear, whatever crowd they are."""
        self._inbox.put_nowait((isinstance(item, Enter), next(self._put), item))

    async def open(self) -> None:
        """Read where the space stands; the channel is already subscribed, so nothing falls between."""
        caller = Caller(service_identity("realtime"), new_id())
        found = await self._bus.call(log.heads, Heads([str(self.key)]), caller)
        self.seq = found.heads[str(self.key)]
        roll = await self._presence.roll(self.key)
        for member in roll.members.values():
            self.roster.add(member)
        self.roster.version = roll.version
        self.entities.load(await self._presence.entities(self.key))
        self._look_elsewhere()
        self._poses.ask(self.key)

    @property
    def is_shared(self) -> bool:
        """Ephemeral events go to the channel only while another replica has members here."""
        return self.roster.is_shared

    def _look_elsewhere(self) -> None:
        self._poses.share(self.key, shared=self.is_shared)

    def begin_entering(self, client: Client) -> None:
        """From here on it collects durable events."""
        self.clients[client.sid] = self.entering[client.sid] = client

    def forget(self, client: Client) -> None:
        self.clients.pop(client.sid, None)
        self.entering.pop(client.sid, None)

    def has_member(self, socket_id: str, subspace: str) -> bool:
        """Whether that socket, of whatever replica, is in the subspace."""
        return socket_id in self.roster.of(subspace)

    async def run(self) -> None:
        """Handle the inbox for ever; a failure costs one item."""
        while True:
            _, _, item = await self._inbox.get()
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
            await self._on_logged(item.events)
        elif isinstance(item, FromMember):
            self._on_relay(item)
        elif isinstance(item, AskPoses):
            self._poses.tell_all(self.key)
            await self._reload_entities()
        elif isinstance(item, MembersJoined | MembersLeft):
            await self._on_presence(item)
        elif isinstance(item, Enter):
            self._on_enter(item)
            await asyncio.sleep(0)  # let arrive what has come meanwhile
        elif isinstance(item, Head):
            await self._on_head(item.seq)
        else:
            await self._resync()

    # Presence: the roster decides, so nobody is announced twice.

    async def _on_presence(self, item: MembersJoined | MembersLeft) -> None:
        if item.version <= self.roster.version:
            return
        missed = item.version > self.roster.version + 1
        self.roster.version = item.version
        if missed:
            await self._resync_roster()
        elif isinstance(item, MembersJoined):
            for arrival in item.arrivals:
                self._arrive(arrival.member, arrival.replaces, item.timestamp)
        else:
            for socket_id in item.socket_ids:
                self._lose(socket_id, item.reason, item.timestamp)
        self._look_elsewhere()

    def _arrive(self, member: Member, replaces: str | None, timestamp: str) -> None:
        known = self.roster.get(member.socket_id)
        if known and known.stay_id == member.stay_id:
            replaces = None if replaces == member.socket_id else replaces
        if replaces:
            self._remove(replaces, "replaced", timestamp)
        self._add(member)

    def _add(self, member: Member) -> None:
        own = self.clients.get(member.socket_id)
        if own and own.place and own.place.member.stay_id == member.stay_id:
            member = own.place.member  # one record of it is enough
        if self.roster.add(member):
            self._broadcast.send(self.key, member.subspace, "user-joined", member.joined(), skip=member.socket_id)
            self._roster_changed(self, member.subspace)

    def _lose(self, socket_id: str, reason: str, timestamp: str) -> None:
        """Not one whose socket is here: it was swept, or Redis lost it, and the lease's next beat puts it back."""
        own = self.clients.get(socket_id)
        if own is None or own.place is None:
            self._remove(socket_id, reason, timestamp)

    def _remove(self, socket_id: str, reason: str, timestamp: str) -> None:
        member = self.roster.remove(socket_id)
        if member:
            left = member.left(reason, timestamp)
            self._broadcast.send(self.key, member.subspace, "user-left", left, skip=socket_id)
            self._poses.drop(self.key, member.subspace, socket_id)
            self.entities.drop_of(socket_id)
            self._roster_changed(self, member.subspace)

    async def _resync_roster(self) -> None:
        roll = await self._presence.roll(self.key)
        for socket_id in self.roster.socket_ids - roll.members.keys():
            self._lose(socket_id, "lost", rfc3339(now()))
        for member in roll.members.values():
            self._add(member)
        self.roster.version = roll.version

    async def _resync(self) -> None:
        await self._resync_roster()
        self._look_elsewhere()
        await self._presence.keep_entities(self.key, self.clients, self.entities.of(self.clients))
        await self._reload_entities()
        self._poses.ask(self.key)
        await self._fetch_gap()

    async def _reload_entities(self) -> None:
        """Whoever asks for poses has stored its own: Redis may have lost them, or never had them."""
        self.entities.reload(await self._presence.entities(self.key), self.clients)

    def _on_poses(self, item: Poses) -> None:
        """Those of members only: a pose may be overtaken by its member's leaving."""
        item.poses = [pose for pose in item.poses if pose.socket_id in self.roster]
        self._poses.take(self.key, item)

    def _on_relay(self, item: FromMember) -> None:
        """From a member on another replica."""
        self._note(item)
        packet = EventPacket(item.event, item.payload)
        if item.to is None:
            room = self._broadcast.room(self.key, item.subspace)
            if room:
                room.post(packet, item.sender)
        elif client := self.clients.get(item.to):
            self._broadcast.to_one(client, packet)

    def _note(self, item: FromMember) -> None:
        """What later joiners are to see of it."""
        if item.event == "entity-event" and item.to is None:
            event = msgspec.json.decode(item.payload, type=EntityEventOut)
            if event.name in (SPAWN, REMOVE):
                self.entities.apply(item.subspace, event)
        elif item.event == "avatar-updated":
            self.roster.set_avatar(item.sender, msgspec.json.decode(item.payload, type=AvatarUpdated).avatar_data)
        elif item.event == "voice-state":
            self.roster.set_voice(item.sender, msgspec.json.decode(item.payload, type=VoiceState))

    # Durable events.

    async def _on_logged(self, events: Sequence[LoggedEvent]) -> None:
        self._ahead |= {event.seq: event for event in events if event.seq > self.seq}
        await self._deliver_in_order()
        if self._ahead and self._gap_timer is None:
            self._gap_timer = asyncio.get_running_loop().call_later(self._gap, self._gap_is_due)

    def _gap_is_due(self) -> None:
        self._gap_timer = None
        if self._ahead:
            self.put(Head(max(self._ahead)))

    async def _on_head(self, seq: int) -> None:
        if seq > self.seq:
            await self._fetch_gap()

    async def _fetch_gap(self) -> None:
        """Everything after what was delivered, from the log."""
        fetched = await self._events_since(self.seq)
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
        while event := self._ahead.pop(self.seq + 1, None):
            self.seq = event.seq
            self._broadcast.event(self.key, event, self.entering.values())
            self._delivered(self.key, event.name)
        self._ahead = {seq: event for seq, event in self._ahead.items() if seq > self.seq}

    # Entering.

    def _on_enter(self, item: Enter) -> None:
        """Snapshot, then what came after it, then live: all in this worker's order."""
        client, place = item.client, item.client.place
        if place is None or place.space != self.key:
            raise PresenceError(FORBIDDEN, "The socket left while it was entering.")
        if place.member.stay_id != self._session_of(client.sid):  # its own arrival may come later than this
            self._arrive(place.member, client.sid, place.member.joined_at)
        position_of = partial(self._poses.position_of, self.key, place.subspace)
        users = self.roster.shown(place.subspace, client.sid, position_of)
        item.tell(users, self.entities.shown(place.subspace))
        self.entering.pop(client.sid, None)
        self._broadcast.admit(client, item.seq)
        self._poses.welcome(client)
        if not item.done.done():
            item.done.set_result(None)

    def _session_of(self, socket_id: str) -> str | None:
        member = self.roster.get(socket_id)
        return member.stay_id if member else None

    async def missed_since(self, after_seq: int, until: int, subspace: str) -> list[LoggedEvent]:
        """Durable events a client missed between its last number and its snapshot's."""
        return [
            event for event in await self._events_since(after_seq) if event.seq <= until and event.concerns(subspace)
        ]
