"""Poses are state, not messages: the latest of each member counts, and a tick sends what changed.

One blob a room and tick, built once: legacy clients get it as many small `aframe-update` frames in one
write, clients with the feature `pose-batch` as one `aframe-batch`. One's own pose is cut out by its span.
A socket that has not taken the last bytes yet is left out of a tick and given everything once it has.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.background import Background
from libs.common.clock import now, rfc3339
from libs.common.contracts.presence import AframeUpdate, Position
from libs.common.metrics import POSE_TICK
from libs.common.spaces import SpaceKey
from services.realtime import wire
from services.realtime.blobs import Batch, Frames, Pose
from services.realtime.broadcast import Broadcast
from services.realtime.sessions import Place, Session
from services.realtime.wire import Poses, PoseWire

_log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode


class _Positioned(msgspec.Struct):
    position: Position | None = None


class PoseRoom:
    """The poses of one subspace: everyone's latest, and who moved since the last tick."""

    def __init__(self) -> None:
        self.latest: dict[str, Pose] = {}
        self.changed: dict[str, Pose] = {}
        self.moved_here: dict[str, Pose] = {}  # of `changed`, those of this replica's members
        self.gone: list[str] = []
        self.behind: set[str] = set()  # sockets that missed a tick

    def set(self, pose: Pose) -> bool:
        """Take a newer pose; False when it says nothing new."""
        before = self.latest.get(pose.socket_id)
        if before and before.data == pose.data:
            return False
        self.latest[pose.socket_id] = self.changed[pose.socket_id] = pose
        return True

    def forget(self, socket_id: str) -> None:
        if self.latest.pop(socket_id, None):
            self.gone.append(socket_id)
        self.changed.pop(socket_id, None)
        self.moved_here.pop(socket_id, None)
        self.behind.discard(socket_id)

    @property
    def has_news(self) -> bool:
        return bool(self.changed or self.gone or self.behind)

    def next_tick(self) -> tuple[dict[str, Pose], dict[str, Pose], list[str]]:
        """What changed, what of it is ours, and who left; they are empty afterwards."""
        news = self.changed, self.moved_here, self.gone
        self.changed, self.moved_here, self.gone = {}, {}, []
        return news


class PoseTicker:
    """`put` takes a member's update; each tick sends what changed, here and to other replicas."""

    def __init__(self, redis: Redis, broadcast: Broadcast, replica: str, tick_seconds: float) -> None:
        self._redis, self._broadcast, self._replica, self._tick = redis, broadcast, replica, tick_seconds
        self._rooms: dict[tuple[SpaceKey, str], PoseRoom] = {}
        self._shared: set[SpaceKey] = set()  # spaces where other replicas have members too
        self._background = Background()

    def put(self, place: Place, update: AframeUpdate) -> None:
        """Partial updates add up: absent fields keep their last value, entities merge by id."""
        room, member = self._room(place.space, place.subspace), place.member
        before = room.latest.get(member.socket_id)
        state = before.state.merged(update) if before and before.state else update
        pose = Pose(member.socket_id, member.user_account, _encode(state), state)
        if room.set(pose):
            room.moved_here[member.socket_id] = pose

    def take(self, space: SpaceKey, message: Poses) -> None:
        """Another replica's members moved."""
        room = self._room(space, message.subspace)
        for pose in message.poses:
            room.set(Pose(pose.socket_id, pose.user_account, bytes(pose.data)))

    def position_of(self, space: SpaceKey, subspace: str, socket_id: str) -> Position | None:
        """Where a member is now; None if it has not moved since it came."""
        room = self._rooms.get((space, subspace))
        pose = room.latest.get(socket_id) if room else None
        return msgspec.json.decode(pose.data, type=_Positioned).position if pose else None

    def welcome(self, session: Session) -> None:
        """Everyone's latest pose, to a socket that has just entered."""
        room = self._rooms.get((session.place.space, session.place.subspace)) if session.place else None
        if room and room.latest:
            self._send_to([session], room, room.latest, [])

    def share(self, space: SpaceKey, *, shared: bool) -> None:
        """Whether other replicas must hear of this space's poses."""
        (self._shared.add if shared else self._shared.discard)(space)

    def drop(self, space: SpaceKey, subspace: str, socket_id: str) -> None:
        """A member left."""
        room = self._rooms.get((space, subspace))
        if room:
            room.forget(socket_id)

    def close(self, space: SpaceKey) -> None:
        """This replica holds the space no more."""
        for key in [key for key in self._rooms if key[0] == space]:
            del self._rooms[key]
        self._shared.discard(space)

    def _room(self, space: SpaceKey, subspace: str) -> PoseRoom:
        return self._rooms.setdefault((space, subspace), PoseRoom())

    async def start(self) -> None:
        self._background.begin(self._run())

    async def stop(self) -> None:
        await self._background.end()

    async def _run(self) -> None:
        """Ticks never take more than half of the time: under load they come later, each with more."""
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
        outgoing: list[tuple[SpaceKey, Poses]] = []
        for (space, subspace), room in list(self._rooms.items()):
            if not room.has_news:
                continue
            changed, ours, gone = room.next_tick()
            sockets = self._broadcast.room(space, subspace)
            if sockets:
                self._send_to(sockets.sessions, room, changed, gone)
            if ours and space in self._shared:
                poses = [PoseWire(p.socket_id, p.user_account, msgspec.Raw(p.data)) for p in ours.values()]
                outgoing.append((space, Poses(self._replica, subspace, poses)))
        await self._publish(outgoing)

    async def _publish(self, outgoing: list[tuple[SpaceKey, Poses]]) -> None:
        """One round trip for all rooms; what is lost is overtaken by the next tick."""
        if not outgoing:
            return
        with contextlib.suppress(RedisError, OSError):
            async with self._redis.pipeline(transaction=False) as pipe:
                for space, message in outgoing:
                    pipe.publish(cache.wire(space), wire.encode(message))
                await pipe.execute()

    def _send_to(self, sessions: Iterable[Session], room: PoseRoom, changed: dict[str, Pose], gone: list[str]) -> None:
        timestamp = rfc3339(now())
        news = _Forms(changed, gone, timestamp)
        everything = _Forms(room.latest, gone, timestamp)
        for session in sessions:
            if session.place is None:
                continue
            if session.engine.is_busy:
                room.behind.add(session.sid)
            elif session.sid in room.behind:
                room.behind.discard(session.sid)
                everything.send(session)
            else:
                news.send(session)


class _Forms:
    """The same poses in the forms that clients of a room want, each made when first needed."""

    def __init__(self, poses: dict[str, Pose], gone: list[str], timestamp: str) -> None:
        self._poses, self._gone, self._timestamp = poses, gone, timestamp
        self._frames: dict[str, Frames] = {}
        self._batches: dict[str, Batch] = {}

    def send(self, session: Session) -> None:
        batches = session.place is not None and session.place.batches
        if not self._poses and not (batches and self._gone):
            return
        if session.engine.transport is None:
            self._queue(session)
        elif batches:
            session.engine.write_parts(self._batch(session.namespace).without(session.sid))
        else:
            session.engine.write_parts(self._legacy(session.namespace).without(session.sid))

    def _batch(self, namespace: str) -> Batch:
        if namespace not in self._batches:
            self._batches[namespace] = Batch(self._poses, self._gone, namespace)
        return self._batches[namespace]

    def _legacy(self, namespace: str) -> Frames:
        if namespace not in self._frames:
            self._frames[namespace] = Frames(self._poses, self._timestamp, namespace)
        return self._frames[namespace]

    def _queue(self, session: Session) -> None:
        """A socket that polls gets the legacy events one by one."""
        for socket_id, packet in self._legacy(session.namespace).packets():
            if socket_id != session.sid:
                session.engine.queue_message(packet)
