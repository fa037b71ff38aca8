"""One space on this replica: what arrives on its channel reaches its clients, in order.

**One inbox, one worker.** Entering, joins, leaves and durable events of a space all change what its clients were told,
and each of them awaits something: Redis, the log, chat. Locks around the parts would leave their interleavings to be
thought through; a single worker has none. What a handler awaits delays this space alone, on this replica alone.

**Entering goes last** (`inbox.py`). A welcome writes a whole snapshot and so costs more than anything that is said
inside. In plain order a crowd at the door would hold up every word; behind everything else it waits for what little is
said meanwhile, and those inside notice nothing.

**A hole is waited for, then fetched.** Events of one space are published by several workers of chat and come through
whichever replica took them from the shared queue, so neighbours overtake each other by some milliseconds. Fetching at
once would ask the log, on every replica that holds the space, for events that are already on their way; `gap_seconds`
(50 ms) lets nearly all of these holes close and is still short of what a person notices in a chat. The last event of a
burst leaves no hole when it is lost: comparing heads (`HeldSpaces`) finds it.

**The roster decides what is announced.** A join or leave can come twice (a script's message, then a reading of all), be
overtaken, or be lost with the Redis connection. Nobody is told what a message says, only how the roster changed by it;
a hole in the versions makes the roster be read anew. So nobody is announced twice, and nobody stays for ever.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import msgspec
import structlog

from libs.common.bus.base import Bus, Caller
from libs.common.clock import now, rfc3339
from libs.common.contracts import log
from libs.common.contracts.log import EventsSince, Heads, LoggedEvent
from libs.common.contracts.members import Member
from libs.common.contracts.presence import AvatarUpdated, EntityEventOut
from libs.common.contracts.voice import VoiceState
from libs.common.errors import FORBIDDEN, RATE_LIMITED, SPACE_FULL, PresenceError
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.metrics import GAPS
from libs.common.spaces import MAIN, SpaceKey
from services.realtime.cluster.messages import AskPoses, Blamed, FromMember, Logged, MembersJoined, MembersLeft, Poses
from services.realtime.cluster.presence import Presence
from services.realtime.poses.ticker import PoseTicker
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client
from services.realtime.space.entities import REMOVE, SPAWN, SpaceEntities
from services.realtime.space.event_order import EventOrder
from services.realtime.space.inbox import Enter, Head, Inbox, Item, Present, Resync, Send
from services.realtime.space.roster import Roster
from services.realtime.transport.packets import EventPacket

_log = structlog.get_logger(__name__)
PAGE = 500  # events of one question to the log
MOST_REPLAYED = PAGE  # numbers of a space that a client who comes back may have missed
MOST_REPLAYED_AGE = timedelta(days=90)  # words older than that are not said again
RESYNC_SECONDS = 0.5  # after a failure
MOST_SUBSPACES = 256  # that somebody is in, of one space
MOST_SUBSPACES_OF_ADDRESS = 32  # that clients of one address are in, on one replica


class SpaceListener:
    """Hears of this replica's held spaces; the defaults do nothing."""

    def on_roster_changed(self, space: "HeldSpace", subspace: str) -> None:
        """Somebody came to the subspace, or left it."""

    def on_event(self, space: SpaceKey, event_name: str) -> None:
        """A durable event was delivered."""

    def may_deliver(self, space: "HeldSpace", message: FromMember) -> bool:
        """Returns whether another replica's message may be delivered now; a listener that refuses keeps it."""
        return True


@dataclass(frozen=True, slots=True)
class SpaceParts:
    """The parts that the held spaces of a replica work with. A hole in the events is waited for `gap_seconds`."""

    replica: str
    bus: Bus
    presence: Presence
    broadcast: Broadcast
    poses: PoseTicker
    gap_seconds: float
    listeners: Sequence[SpaceListener]


class HeldSpace:
    """Everything but `put` and `admit` runs in its own worker, `run`."""

    def __init__(self, key: SpaceKey, parts: SpaceParts) -> None:
        self.key = key
        self.holders = 0
        self.entities = SpaceEntities()
        self.roster = Roster(parts.replica)
        self.clients: dict[str, Client] = {}
        self.entering: dict[str, Client] = {}  # of `clients`, those that wait for their snapshot
        self._bus = parts.bus
        self._presence = parts.presence
        self._broadcast = parts.broadcast
        self._poses = parts.poses
        self._gap_seconds = parts.gap_seconds
        self._listeners = parts.listeners
        self._inbox = Inbox()
        self._events = EventOrder()
        self._gap_timer: asyncio.TimerHandle | None = None

    @property
    def seq(self) -> int:
        """The number of the last durable event that was delivered."""
        return self._events.seq

    def put(self, item: Item) -> None:
        """Has the worker handle an item, soon."""
        self._inbox.put(item)

    async def open(self) -> None:
        """Reads where the space stands. Its channel is subscribed before, so nothing falls between."""
        caller = Caller(service_identity("realtime"), new_id())
        answer = await self._bus.call(log.heads, Heads([str(self.key)]), caller)
        self._events = EventOrder(answer.heads[str(self.key)])
        roll = await self._presence.roll(self.key)
        for member in roll.members.values():
            self.roster.add(member)
        self.roster.version = roll.version
        self.entities.load(await self._presence.entities(self.key))
        self._look_elsewhere()
        self._poses.ask(self.key)

    @property
    def is_shared(self) -> bool:
        """Returns whether another replica has members here; only then do ephemeral events go to the channel."""
        return self.roster.is_shared

    def _look_elsewhere(self) -> None:
        self._poses.share(self.key, shared=self.is_shared)

    def begin_entering(self, client: Client) -> None:
        """Lets durable events gather for the client from now on."""
        self.clients[client.sid] = self.entering[client.sid] = client

    def forget(self, client: Client) -> None:
        self.clients.pop(client.sid, None)
        self.entering.pop(client.sid, None)

    def is_open(self, subspace: str) -> bool:
        """Returns whether the subspace is there without anybody's opening it."""
        return subspace == MAIN or bool(self.roster.of(subspace))

    def require_subspace(self, client: Client, subspace: str, *, moderates: bool) -> None:
        """Raises for a subspace that nobody is in: `space_full` where too many are open, `rate_limited` by one address.

        `main` is open to everybody, and every subspace to those who moderate.
        """
        if moderates or self.is_open(subspace):
            return
        own = {other.place.subspace for other in self.clients.values() if other.place and other.home == client.home}
        if len(own) > MOST_SUBSPACES_OF_ADDRESS:
            raise PresenceError(RATE_LIMITED, "Too many subspaces are open from your address; enter one of them.")
        if len(self.roster.subspaces) >= MOST_SUBSPACES:
            raise PresenceError(SPACE_FULL, "Too many subspaces are open; enter one of them, or the main one.")

    def has_member(self, socket_id: str, subspace: str) -> bool:
        """Returns whether that socket, of whatever replica, is in the subspace."""
        return socket_id in self.roster.of(subspace)

    async def run(self) -> None:
        """Handles the inbox for ever; a failure costs one item."""
        while True:
            item = await self._inbox.get()
            try:
                await self._handle(item)
            except Exception as error:
                self._failed(item, error)

    def _failed(self, item: Item, error: Exception) -> None:
        """Tells a client that was entering; for anything else, reading everything again makes it good."""
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
            self._on_logged(item.events)
        elif isinstance(item, FromMember):
            self._on_message(item)
        elif isinstance(item, Blamed):
            self.blame(item.socket_id)
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
        """Takes a member into the roster and announces it, if it was not known in its subspace.

        Its leaving the subspace where it was known may have been passed over: by then its client was here again.
        """
        known = self.roster.get(member.socket_id)
        if known and known.subspace != member.subspace:
            self._remove(member.socket_id, "left", member.joined_at)
        own = self.clients.get(member.socket_id)
        if own and own.place and own.place.member.stay_id == member.stay_id:
            member = own.place.member  # one record of it is enough
        if self.roster.add(member):
            self._broadcast.send(self.key, member.subspace, "user-joined", member.joined(), skip=member.socket_id)
            self._roster_changed(member.subspace)

    def _lose(self, socket_id: str, reason: str, timestamp: str) -> None:
        """Removes a member, unless its client is here: it was swept, or Redis lost it, and the lease puts it back."""
        own = self.clients.get(socket_id)
        if own is None or own.place is None:
            self._remove(socket_id, reason, timestamp)

    def _remove(self, socket_id: str, reason: str, timestamp: str) -> None:
        member = self.roster.remove(socket_id)
        if member:
            left = member.left(reason, timestamp)
            self._broadcast.send(self.key, member.subspace, "user-left", left, skip=socket_id)
            self._poses.drop(self.key, member.subspace, socket_id)
            if not self.roster.of(member.subspace):
                self._poses.close_subspace(self.key, member.subspace)
            self.entities.drop_of(socket_id)
            self._roster_changed(member.subspace)

    def _roster_changed(self, subspace: str) -> None:
        for listener in self._listeners:
            listener.on_roster_changed(self, subspace)

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
        """Reads the entities that other replicas stored: one that asks for poses has just stored its own."""
        self.entities.reload(await self._presence.entities(self.key), self.clients)

    def _on_poses(self, item: Poses) -> None:
        """Takes the poses of members: a pose may be overtaken by its member's leaving."""
        item.poses = [pose for pose in item.poses if pose.socket_id in self.roster]
        if item.poses:
            self._poses.take(self.key, item)

    def _on_message(self, item: FromMember) -> None:
        """Passes on what a member on another replica says."""
        self._note(item)
        packet = EventPacket(item.event, item.payload)
        if item.to is None:
            room = self._broadcast.room(self.key, item.subspace)
            if room:
                room.post(packet, item.sender)
        elif client := self.clients.get(item.to):
            self._broadcast.to_one(client, packet, item.sender)

    def blame(self, socket_id: str) -> bool:
        """Has a client of this replica pay for what others cannot read; returns whether it is one."""
        client = self.clients.get(socket_id)
        if client:
            client.pay_for_backlog()
        return client is not None

    def _note(self, item: FromMember) -> None:
        """Keeps what later joiners are to see of a message."""
        if item.event == "entity-event" and item.to is None:
            event = msgspec.json.decode(item.payload, type=EntityEventOut)
            if event.name in (SPAWN, REMOVE):
                self.entities.apply(item.subspace, event)
        elif item.event == "avatar-updated":
            self.roster.set_avatar(item.sender, msgspec.json.decode(item.payload, type=AvatarUpdated).avatar_data)
        elif item.event == "voice-state":
            self.roster.set_voice(item.sender, msgspec.json.decode(item.payload, type=VoiceState))

    # Durable events.

    def _on_logged(self, events: Sequence[LoggedEvent]) -> None:
        self._events.add(events)
        self._deliver()
        if self._events.head > self.seq and self._gap_timer is None:
            self._gap_timer = asyncio.get_running_loop().call_later(self._gap_seconds, self._gap_is_due)

    def _gap_is_due(self) -> None:
        self._gap_timer = None
        self.put(Head(self._events.head))

    async def _on_head(self, seq: int) -> None:
        if seq > self.seq:
            await self._fetch_gap()

    async def _fetch_gap(self) -> None:
        """Delivers everything after the last event, from the log, page by page."""
        while page := await self._page_after(self.seq):
            GAPS.inc()
            if page[0].seq > self.seq + 1:  # what the log has not is waited for by nobody
                _log.error("events are missing in the log", space=str(self.key), after=self.seq, before=page[0].seq)
                self._events.skip_to(page[0].seq - 1)
            self._events.add(page)
            self._deliver()
            if len(page) < PAGE:
                return

    async def _page_after(self, after_seq: int) -> Sequence[LoggedEvent]:
        caller = Caller(service_identity("realtime"), new_id())
        request = EventsSince(self.key.space_type, self.key.space_id, after_seq, PAGE)
        return (await self._bus.call(log.events_since, request, caller)).events

    def _deliver(self) -> None:
        for event in self._events.take():
            self._broadcast.event(self.key, event, self.entering.values())
            for listener in self._listeners:
                listener.on_event(self.key, event.name)

    # Entering.

    async def admit(self, client: Client, seq: int, send: Send) -> None:
        """Welcomes a client whose snapshot of `seq` is ready, in the worker's turn.

        Calls `send` with who is present, then sends what gathered after `seq`; from then on the client hears the room.
        Raises `forbidden` where it left meanwhile.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.put(Enter(client, seq, send, done))
        await done

    def _on_enter(self, item: Enter) -> None:
        client, place = item.client, item.client.place
        if place is None or place.space != self.key:
            raise PresenceError(FORBIDDEN, "The socket left while it was entering.")
        if place.member.stay_id != self._stay_of(client.sid):  # its own arrival may come later than this
            self._arrive(place.member, client.sid, place.member.joined_at)
        position_of = partial(self._poses.position_of, self.key, place.subspace)
        users = self.roster.shown(place.subspace, client.sid, position_of)
        others = len(self.roster.of(place.subspace)) - 1
        item.send(Present(users, others, self.entities.shown(place.subspace)))
        self.entering.pop(client.sid, None)
        self._broadcast.admit(client, item.seq)
        self._poses.welcome(client)
        if not item.done.done():
            item.done.set_result(None)

    def _stay_of(self, socket_id: str) -> str | None:
        member = self.roster.get(socket_id)
        return member.stay_id if member else None

    async def missed_since(self, after_seq: int, until: int, subspace: str) -> Sequence[LoggedEvent] | None:
        """Returns the durable events of a subspace after a client's last number and up to its snapshot's.

        None where that is more than `MOST_REPLAYED` numbers ago, or more than the log may still say.
        """
        if until - after_seq > MOST_REPLAYED:
            return None
        events = [event for event in await self._page_after(after_seq) if event.seq <= until]
        oldest = now() - MOST_REPLAYED_AGE
        if len(events) < until - after_seq or any(event.occurred_at < oldest for event in events):
            return None
        return [event for event in events if event.concerns(subspace)]
