"""One space on this replica: what arrives on its channel reaches its clients, in order.

**One inbox, one worker.** Entering, joins, leaves and durable events of a space all change what its clients were told,
and each of them awaits something: Redis, the log, chat. Locks around the parts would leave their interleavings to be
thought through; a single worker has none. What a handler awaits delays this space alone, on this replica alone.

**Entering goes last** (`inbox.py`). A welcome writes a whole snapshot and so costs more than anything that is said
inside. In plain order a crowd at the door would hold up every word; behind everything else it waits for what little is
said meanwhile, and those inside notice nothing.

**The roster decides what is announced.** A join or leave can come twice (a script's message, then a reading of all), be
overtaken, or be lost with the Redis connection. Nobody is told what a message says, only how the roster changed by it;
a hole in the versions makes the roster be read anew. So nobody is announced twice, and nobody stays for ever.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from functools import partial

import msgspec
import structlog
from msgspec import UNSET

from libs.common.clock import now, rfc3339
from libs.common.contracts.members import Member
from libs.common.contracts.presence import AvatarUpdated, EntityEventOut
from libs.common.contracts.voice import VoiceState
from libs.common.errors import FORBIDDEN, RATE_LIMITED, SPACE_FULL, PresenceError
from libs.common.spaces import MAIN, SpaceKey
from services.realtime.cluster.messages import (
    AskPoses,
    Blamed,
    FromMember,
    Logged,
    MembersJoined,
    MembersLeft,
    Poses,
    ThingChange,
)
from services.realtime.rooms.client import Client
from services.realtime.space.entities import SpaceEntities
from services.realtime.space.entity_sync import EntitySync
from services.realtime.space.event_feed import EventFeed
from services.realtime.space.inbox import Enter, Head, Inbox, Item, Present, Resync, Send
from services.realtime.space.parts import SpaceParts
from services.realtime.space.roster import Roster, seniority
from services.realtime.space.thing_sync import ThingSync
from services.realtime.transport.packets import EventPacket

_log = structlog.get_logger(__name__)
RESYNC_SECONDS = 0.5  # after a failure
ANSWER_SECONDS = 0.25  # for which a replica that comes to a space waits for the others' poses
IN_SNAPSHOT = {"avatar-updated", "voice-state"}  # and changes of entities: whoever is entering is shown the outcome
MOST_SUBSPACES = 256  # that somebody is in, of one space
MOST_SUBSPACES_OF_ADDRESS = 32  # that clients of one address are in, on one replica


class HeldSpace:
    """Everything but `put` and `admit` runs in its own worker, `run`."""

    def __init__(self, key: SpaceKey, parts: SpaceParts) -> None:
        self.key = key
        self.holders = 0
        self.entities = SpaceEntities()
        self.roster = Roster(parts.replica)
        self.entity_sync = EntitySync(key, parts, self.entities, self.roster)
        self.things = ThingSync(key, parts)
        self.clients: dict[str, Client] = {}
        self.entering: dict[str, Client] = {}  # of `clients`, those that wait for their snapshot
        self._presence = parts.presence
        self._broadcast = parts.broadcast
        self._poses = parts.poses
        self._publisher = parts.publisher
        self._replica = parts.replica
        self._is_to_put_back = False  # what this replica's members had
        self._unheard: set[str] = set()  # replicas that are asked where their members are
        self._all_heard = asyncio.Event()
        self._listeners = parts.listeners
        self._inbox = Inbox()
        self.events = EventFeed(key, parts, self.entering, self.put)

    @property
    def seq(self) -> int:
        """The number of the last durable event that was delivered."""
        return self.events.seq

    def put(self, item: Item) -> None:
        """Has the worker handle an item, soon."""
        if self._unheard and isinstance(item, Poses):
            self._unheard.discard(item.replica)
            if not self._unheard:
                self._all_heard.set()
        self._inbox.put(item)

    async def open(self) -> None:
        """Reads where the space stands. Its channel is subscribed before, so nothing falls between."""
        await self.events.open()
        roll = await self._presence.roll(self.key)
        for member in roll.members.values():
            self.roster.add(member)
        self.roster.version = roll.version
        await self.entity_sync.open()
        await self.things.reload()
        self._look_elsewhere()
        await self._ask_for_poses()

    async def _ask_for_poses(self) -> None:
        """Has the other replicas say where their members are, so that the first snapshot here has it.

        One that has died meanwhile does not answer.
        """
        self._unheard = self.roster.other_replicas
        if self._unheard:
            self._publisher.put(self.key, AskPoses(self._replica))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_heard.wait(), ANSWER_SECONDS)
        self._unheard = set()

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
            self.events.on_logged(item.events)
        elif isinstance(item, FromMember):
            self._on_message(item)
        elif isinstance(item, Blamed):
            self.blame(item.socket_id)
        elif isinstance(item, AskPoses):
            for message in self._poses.all_here(self.key):
                self._publisher.put(self.key, message)
            self._poses.tell_all(self.key)  # again with the next tick: what moves now may be told before
            if item.missed:
                self._repeat()
            await self._reload()
        elif isinstance(item, ThingChange):
            await self.things.on_change(item)
        elif isinstance(item, MembersJoined | MembersLeft):
            await self._on_presence(item)
        elif isinstance(item, Enter):
            self._on_enter(item)
            await asyncio.sleep(0)  # let arrive what has come meanwhile
        elif isinstance(item, Head):
            await self.events.on_head(item.seq)
        else:
            self._is_to_put_back |= item.lost
            await self._resync()

    # Presence: the roster decides, so nobody is announced twice.

    async def _on_presence(self, item: MembersJoined | MembersLeft) -> None:
        if item.version <= self.roster.version:
            return
        missed = item.version > self.roster.version + 1
        self.roster.version = item.version
        if missed:
            await self._resync_roster()
            await self.entity_sync.reload()
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
            self._remove(replaces, "replaced", timestamp, [member])
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
            self._poses.begin(self.key, member, is_here=own is not None)
            self._broadcast.send(self.key, member.subspace, "user-joined", member.joined(), skip=member.socket_id)
            self._roster_changed(member.subspace)

    def _lose(self, socket_id: str, reason: str, timestamp: str, coming: Iterable[Member] = ()) -> None:
        """Removes a member, unless its client is here: it was swept, or Redis lost it, and the lease puts it back."""
        own = self.clients.get(socket_id)
        if own is None or own.place is None:
            self._remove(socket_id, reason, timestamp, coming)
        else:
            self.entity_sync.has_lost = True

    def _remove(self, socket_id: str, reason: str, timestamp: str, coming: Iterable[Member] = ()) -> None:
        """Removes a member; what it spawned stays with its person's other sockets, or with those of them `coming`."""
        member = self.roster.remove(socket_id)
        if member:
            sockets = {other.socket_id: other for other in self.roster.sockets_of(member.owner, member.subspace)}
            sockets |= {o.socket_id: o for o in coming if (o.owner, o.subspace) == (member.owner, member.subspace)}
            moved = self._poses.entities_of(self.key, member.subspace, socket_id)
            successor = self.entity_sync.leave(member, sorted(sockets.values(), key=seniority), moved)
            left = member.left(reason, timestamp, successor)
            self._broadcast.send(self.key, member.subspace, "user-left", left, skip=socket_id)
            self._poses.drop(self.key, member.subspace, socket_id)
            if not self.roster.of(member.subspace):
                self._poses.close_subspace(self.key, member.subspace)
            self._roster_changed(member.subspace)

    def _roster_changed(self, subspace: str) -> None:
        for listener in self._listeners:
            listener.on_roster_changed(self, subspace)

    async def _resync_roster(self) -> None:
        roll = await self._presence.roll(self.key)
        for socket_id in self.roster.socket_ids - roll.members.keys():
            self._lose(socket_id, "lost", rfc3339(now()), roll.members.values())
        for member in roll.members.values():
            self._add(member)
        self.roster.version = roll.version

    async def _resync(self) -> None:
        await self._resync_roster()
        self._look_elsewhere()
        if self._is_to_put_back:
            await self.entity_sync.put_back()
            self._is_to_put_back = False
        await self._reload()
        self._repeat()
        self._poses.tell_all(self.key)
        self._poses.ask(self.key, missed=True)
        await self.events.fetch_gap()

    async def _reload(self) -> None:
        await self.entity_sync.reload()
        await self.things.reload(is_lost=self.entity_sync.has_lost)

    def _on_poses(self, item: Poses) -> None:
        """Takes the poses of members: a pose may be overtaken by its member's leaving."""
        item.poses = [pose for pose in item.poses if pose.socket_id in self.roster]
        if item.poses:
            self._poses.take(self.key, item)

    def _on_message(self, item: FromMember) -> None:
        """Passes on what a member on another replica says, unless it was overtaken."""
        for listener in self._listeners:
            listener.on_message(self, item)
        if not self._note(item):
            return
        packet = EventPacket(item.event, item.payload, lasts=item.lasts)
        if item.to is None:
            self.relay(item.subspace, packet, item.sender, is_kept=bool(item.stamp))
        elif client := self.clients.get(item.to):
            self.tell(client, packet, item.sender)

    def _repeat(self) -> None:
        for listener in self._listeners:
            listener.on_missed(self)

    def relay(self, subspace: str, packet: EventPacket, sender: str, *, is_kept: bool = False) -> None:
        """Sends what a member says to everybody else in the subspace, also to those who were named and are entering.

        Of what `is_kept` their snapshot will show the outcome.
        """
        if room := self._broadcast.room(self.key, subspace):
            room.post(packet, sender)
        if self.entering and not is_kept and packet.event not in IN_SNAPSHOT:
            for client in self.entering.values():
                if client.place and client.place.subspace == subspace and client.sid != sender:
                    client.place.hold(packet, sender)

    def tell(self, client: Client, packet: EventPacket, sender: str | None = None) -> None:
        """Sends to one client of this replica, after its snapshot."""
        if client.sid in self.entering and client.place:
            client.place.hold(packet, sender)
        else:
            self._broadcast.to_one(client, packet, sender)

    def blame(self, socket_id: str) -> bool:
        """Has a client of this replica pay for what others cannot read; returns whether it is one."""
        client = self.clients.get(socket_id)
        if client:
            client.pay_for_backlog()
        return client is not None

    def _note(self, item: FromMember) -> bool:
        """Keeps what later joiners are to see of a message. Returns False for one that a later one has overtaken."""
        if item.stamp:
            event = msgspec.json.decode(item.payload, type=EntityEventOut)
            claimed = self.entity_sync.claimed(item.subspace, event, item.owner)
            if claimed is None:
                return False
            if claimed is not event:
                item.payload = msgspec.Raw(msgspec.json.encode(claimed))
            return self.entity_sync.change(item.subspace, claimed, item.owner, item.stamp)
        if item.event == "entity-event" and item.to is None:
            return self.entity_sync.note_unstamped(item)
        if item.event == "avatar-updated":
            self.roster.set_avatar(item.sender, msgspec.json.decode(item.payload, type=AvatarUpdated).avatar_data)
        elif item.event == "voice-state":
            self.roster.set_voice(item.sender, msgspec.json.decode(item.payload, type=VoiceState))
        return True

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
            self._arrive(place.member, place.replaces or client.sid, place.member.joined_at)
        position_of = partial(self._poses.position_of, self.key, place.subspace)
        users = self.roster.shown(place.subspace, client.sid, position_of)
        others = len(self.roster.of(place.subspace)) - 1
        entities = self.entities.shown(place.subspace, self.entity_sync.told_by_poses)
        item.send(Present(users, others, entities, self.things.things.shown(place.subspace)))
        self.entering.pop(client.sid, None)
        for listener in self._listeners:
            listener.on_welcome(self, client)
        place.member.pose = UNSET  # from here on the poses say where it is
        self._broadcast.admit(client, item.seq)
        self._poses.welcome(client)
        if not item.done.done():
            item.done.set_result(None)

    def _stay_of(self, socket_id: str) -> str | None:
        member = self.roster.get(socket_id)
        return member.stay_id if member else None
