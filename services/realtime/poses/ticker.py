"""Poses are state, not messages: the latest of each member counts, and a tick sends what changed.

One blob a room and tick, built once: legacy clients get it as many small `aframe-update` frames in one write, clients
with the feature `pose-batch` or `pose-compact` as one `aframe-batch`. One's own pose is cut out by its span.
A socket that has not taken the last bytes yet is left out of a tick and given everything once it has.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
import structlog
from msgspec import UNSET
from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.clock import now, rfc3339
from libs.common.contracts.members import Member
from libs.common.contracts.presence import (
    MAX_POSE_BYTES,
    AframeUpdate,
    FullUpdate,
    Position,
    further_fields,
    read_update,
    write_update,
)
from libs.common.errors import TOO_LARGE, PresenceError
from libs.common.metrics import POSE_TICK
from libs.common.spaces import MAIN, SpaceKey
from libs.common.tasks.background import Background
from services.realtime.cluster import messages
from services.realtime.cluster.messages import AskPoses, Poses, PoseWire
from services.realtime.poses.encoding import Pose
from services.realtime.poses.interest import Interest
from services.realtime.poses.state import News, PoseState
from services.realtime.poses.variants import Variants
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place, PoseForm

_log = structlog.get_logger(__name__)


class PoseTicker:
    """`put` takes a member's update; each tick sends what changed, here and to other replicas."""

    def __init__(
        self, redis: Redis, broadcast: Broadcast, replica: str, tick_seconds: float, interest_above: int
    ) -> None:
        self._redis = redis
        self._broadcast = broadcast
        self._replica = replica
        self._tick = tick_seconds
        self._interest_above = interest_above
        self._rooms: dict[tuple[SpaceKey, str], PoseState] = {}
        self._asking: dict[SpaceKey, bool] = {}  # whether something was missed
        self._shared: set[SpaceKey] = set()  # spaces where other replicas have members too
        self._background = Background()

    def put(self, place: Place, update: AframeUpdate) -> None:
        """Partial updates add up: absent fields keep their last value, entities merge by id. Raises `too_large`."""
        room, member = self._room(place.space, place.subspace), place.member
        before = room.latest.get(member.socket_id)
        state, data = _merged(before.state if before else None, update)
        pose = Pose(member.socket_id, member.user_account, data, state)
        if room.set(pose):
            room.moved_here[member.socket_id] = pose

    def take(self, space: SpaceKey, message: Poses) -> None:
        """Takes the poses of another replica's members."""
        room = self._room(space, message.subspace)
        for pose in message.poses:
            room.set(Pose(pose.socket_id, pose.user_account, bytes(pose.data)))

    def ask(self, space: SpaceKey, *, missed: bool = False) -> None:
        """Has the other replicas tell of all their members; the answer comes with a next tick."""
        self._asking[space] = missed or self._asking.get(space, False)

    def all_here(self, space: SpaceKey) -> list[Poses]:
        """Returns the poses of all of this replica's members, by subspace: an answer also where there are none."""
        told = []
        for (key, subspace), room in self._rooms.items():
            here = [pose for pose in room.latest.values() if pose.state] if key == space else []
            if here:
                told.append(Poses(self._replica, subspace, _on_the_wire(here)))
        return told or [Poses(self._replica, MAIN, [])]

    def tell_all(self, space: SpaceKey) -> None:
        """Tells the other replicas of all of this replica's members again."""
        for key, room in self._rooms.items():
            if key[0] == space:
                room.moved_here = {sid: pose for sid, pose in room.latest.items() if pose.state}

    def position_of(self, space: SpaceKey, subspace: str, socket_id: str) -> Position | None:
        """Returns a member's position; None if it has not moved since it came."""
        room = self._rooms.get((space, subspace))
        pose = room.latest.get(socket_id) if room else None
        return pose.position if pose else None

    def pose_of(self, space: SpaceKey, subspace: str, socket_id: str) -> bytes | None:
        """Returns a member's latest pose as JSON; None if it has not moved since it came."""
        room = self._rooms.get((space, subspace))
        pose = room.latest.get(socket_id) if room else None
        return pose.data if pose else None

    def begin(self, space: SpaceKey, member: Member, *, is_here: bool) -> None:
        """Gives a member who came back the pose that its broken connection had; `is_here`: to this replica."""
        if member.pose is UNSET:
            return
        room, data = self._room(space, member.subspace), bytes(member.pose)
        if member.socket_id not in room.latest:
            room.set(Pose(member.socket_id, member.user_account, data, read_update(data) if is_here else None))

    def entities_of(self, space: SpaceKey, subspace: str, socket_id: str) -> Mapping[str, Any]:
        """Returns what a member's poses say of entities, by id."""
        room = self._rooms.get((space, subspace))
        pose = room.latest.get(socket_id) if room else None
        return pose.entities if pose else {}

    def forget_entity(self, space: SpaceKey, subspace: str, socket_id: str, entity_id: str) -> None:
        """Drops what a member's poses said of an entity: something else has changed it since."""
        room = self._rooms.get((space, subspace))
        pose = room.latest.get(socket_id) if room else None
        if room and pose and entity_id in pose.entities:
            state = read_update(pose.data)
            state.entities = {name: told for name, told in pose.entities.items() if name != entity_id} or UNSET
            here = state if pose.state else None
            room.replace(Pose(socket_id, pose.user_account, write_update(state), here))

    def welcome(self, client: Client) -> None:
        """Sends everyone's latest pose at the next tick to a client that has just entered."""
        room = self._rooms.get((client.place.space, client.place.subspace)) if client.place else None
        if room and room.latest:
            room.behind.add(client.sid)

    def share(self, space: SpaceKey, *, shared: bool) -> None:
        """Says whether other replicas must hear of this space's poses."""
        (self._shared.add if shared else self._shared.discard)(space)

    def drop(self, space: SpaceKey, subspace: str, socket_id: str) -> None:
        """Drops the pose of a member who left."""
        room = self._rooms.get((space, subspace))
        if room:
            room.forget(socket_id)

    def forget_socket(self, space: SpaceKey, subspace: str, socket_id: str) -> None:
        """Forgets a client that hears and says no more; its pose stays for as long as it is a member."""
        room = self._rooms.get((space, subspace))
        if room:
            room.forget_listener(socket_id)

    def close_subspace(self, space: SpaceKey, subspace: str) -> None:
        """Drops the poses of a subspace that its last member left."""
        self._rooms.pop((space, subspace), None)

    def close(self, space: SpaceKey) -> None:
        """Drops everything of a space that this replica holds no more."""
        for key in [key for key in self._rooms if key[0] == space]:
            del self._rooms[key]
        self._shared.discard(space)
        self._asking.pop(space, None)

    def _room(self, space: SpaceKey, subspace: str) -> PoseState:
        return self._rooms.setdefault((space, subspace), PoseState())

    async def start(self) -> None:
        self._background.begin(self._run())

    async def stop(self) -> None:
        await self._background.end()

    async def _run(self) -> None:
        """Ticks for ever, never for more than half of the time: under load ticks come later, each with more."""
        pause = self._tick
        while True:
            await asyncio.sleep(pause)
            started = time.monotonic()
            try:
                await self._send_all()
            except Exception:
                _log.exception("pose tick failed")
            spent = time.monotonic() - started
            POSE_TICK.observe(spent)
            pause = max(self._tick - spent, spent)

    async def _send_all(self) -> None:
        for (space, subspace), room in list(self._rooms.items()):
            if room.has_news:
                news = room.next_tick()
                if sockets := self._broadcast.room(space, subspace):
                    self._send(sockets.clients, room, news)
        await self._publish()

    async def _publish(self) -> None:
        """Tells the other replicas, all in one round trip; poses that Redis did not take go with a next tick."""
        moved = self._moved_here()
        asking = {space: self._asking.pop(space) for space in list(self._asking) if space in self._shared}
        if not asking and not moved:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for space, missed in asking.items():
                    pipe.publish(cache.wire(space), messages.encode(AskPoses(self._replica, missed)))
                for (space, subspace), poses in moved.items():
                    message = Poses(self._replica, subspace, _on_the_wire(poses.values()))
                    pipe.publish(cache.wire(space), messages.encode(message))
                await pipe.execute()
        except (RedisError, OSError):
            for space, missed in asking.items():
                self.ask(space, missed=missed)
            for key, poses in moved.items():
                if room := self._rooms.get(key):
                    room.moved_here = {sid: pose for sid, pose in poses.items() if sid in room.latest} | room.moved_here

    def _moved_here(self) -> dict[tuple[SpaceKey, str], dict[str, Pose]]:
        """Takes, of each shared room, this replica's members that moved since the last call."""
        moved = {}
        for key, room in self._rooms.items():
            if room.moved_here and key[0] in self._shared:
                moved[key], room.moved_here = room.moved_here, {}
        return moved

    def _send(self, clients: Collection[Client], room: PoseState, news: News) -> None:
        timestamp = rfc3339(now())
        everywhere = Everywhere(room, news, timestamp)
        crowded = len(room.latest) > self._interest_above
        interest = Interest(room, news, timestamp) if crowded or _anyone_wants_interest(clients) else None
        for client in clients:
            place = client.place
            if place is None:
                continue
            if client.engine.is_busy:
                room.behind.add(client.sid)
                continue
            behind = client.sid in room.behind or _lacks_numbers(client, place)
            room.behind.discard(client.sid)
            audience = interest if interest and (crowded or place.wants_interest) else everywhere
            audience.variants(place, behind=behind).send(client)


def _on_the_wire(poses: Iterable[Pose]) -> list[PoseWire]:
    return [PoseWire(pose.socket_id, pose.user_account, msgspec.Raw(pose.data)) for pose in poses]


def _merged(before: AframeUpdate | None, update: AframeUpdate) -> tuple[AframeUpdate, bytes]:
    """Returns the state after the update, and its JSON."""
    state = before.merged(update) if before else update
    data = write_update(state)
    if len(data) > MAX_POSE_BYTES:
        state = FullUpdate(state.position, state.rotation, update.entities, further_fields(update))
        data = write_update(state)
    if len(data) > MAX_POSE_BYTES:
        raise PresenceError(TOO_LARGE, f"A pose with its entities is at most {MAX_POSE_BYTES} bytes of JSON.")
    return state, data


class Everywhere:
    """One tick of a room in which everyone is told of everyone."""

    def __init__(self, room: PoseState, news: News, timestamp: str) -> None:
        numbers = room.numbers
        all_names = [(number, sid) for sid, number in numbers.items()]
        self._news = Variants(news.changed, timestamp, numbers, gone=news.gone, names=news.names)
        self._everything = Variants(room.latest, timestamp, numbers, gone=news.gone_unheard, names=all_names)

    def variants(self, _: Place, *, behind: bool) -> Variants:
        """Returns the poses for a client: everything for one that missed a tick, else the news."""
        return self._everything if behind else self._news


def _lacks_numbers(client: Client, place: Place) -> bool:
    """Returns whether a client takes compact poses from now on, having polled until now."""
    if place.form is not PoseForm.COMPACT or place.knows_numbers or client.engine.transport is None:
        return False
    place.knows_numbers = True
    return True


def _anyone_wants_interest(clients: Collection[Client]) -> bool:
    return any(client.place and client.place.wants_interest for client in clients)
