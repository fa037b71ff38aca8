"""spaces_auth and chat as the replicas see them: an event log, snapshots and a policy, scripted and in memory."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from libs.common import cache
from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.clock import now
from libs.common.contracts import chat, log, spaces
from libs.common.contracts.chat import GetSnapshot, Message, Snapshot
from libs.common.contracts.log import Events, EventsSince, HeadNumbers, Heads, LoggedEvent
from libs.common.contracts.registry import Operation
from libs.common.contracts.spaces import (
    PresenceChange,
    Recorded,
    RecordPresence,
    ResolvedRoom,
    ResolveRoom,
    Review,
    Reviewed,
    ReviewedMember,
    Verdict,
)
from libs.common.errors import BANNED, UNAVAILABLE, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey


class Held:
    """Keeps back the answers of one operation. An answer is made at once, or as late as it is given."""

    def __init__(self, *, answered_late: bool) -> None:
        self.answered_late = answered_late
        self._asked, self._released = asyncio.Event(), asyncio.Event()

    async def asked(self) -> None:
        """Returns once somebody waits for an answer."""
        await self._asked.wait()

    def release(self) -> None:
        self._released.set()

    async def wait(self) -> None:
        self._asked.set()
        await self._released.wait()


class Store:
    """`asked` counts the questions by operation; `failures` are how often an operation is yet to answer `unavailable`.

    `roles` and `banned` are by the id of an identity. `reports` is what replicas said of members.
    """

    def __init__(self, broker: MemoryBroker, redis: Redis) -> None:
        self.bus = MemoryBus(broker)
        self.asked: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.roles: dict[str, str] = {}
        self.epoch_of = self._keep_epoch
        self.banned: set[str] = set()
        self.muted: set[str] = set()
        self.forgotten: set[str] = set()
        self.max_users = 100
        self.pad = ""  # added to each message of a snapshot
        self.reports: list[PresenceChange] = []
        self._redis = redis
        self._log: dict[SpaceKey, list[LoggedEvent]] = {}
        self._held: dict[str, Held] = {}
        self._serve(log.heads, self._heads)
        self._serve(log.events_since, self._events_since)
        self._serve(chat.snapshot, self._snapshot)
        self._serve(spaces.review, self._review)
        self._serve(spaces.record_presence, self._record)
        self._serve(spaces.resolve_room, self._resolve_room)

    def _serve[Request, Reply](
        self, operation: Operation[Request, Reply], answer: Callable[[Request], Awaitable[Reply]]
    ) -> None:
        async def handle(_: Caller, request: Request) -> Reply:
            self.asked[operation.name] += 1
            if self.failures[operation.name] > 0:
                self.failures[operation.name] -= 1
                raise PresenceError(UNAVAILABLE)
            held = self._held.get(operation.name)
            if held and held.answered_late:
                await held.wait()
                return await answer(request)
            reply = await answer(request)
            if held:
                await held.wait()
            return reply

        self.bus.serve(operation, handle)

    @contextlib.asynccontextmanager
    async def holding(self, operation: Operation[Any, Any], *, answered_late: bool = False) -> AsyncIterator[Held]:
        """Keeps the answers of an operation back until `release`, or to the end of the block."""
        held = self._held[operation.name] = Held(answered_late=answered_late)
        try:
            yield held
        finally:
            del self._held[operation.name]
            held.release()

    def write(self, space: SpaceKey, subspace: str | None, pad: str = "") -> LoggedEvent:
        """Commits a message and returns its event, which nobody was told of yet."""
        seq = len(self._log.setdefault(space, [])) + 1
        event = LoggedEvent(
            new_id(), chat.message_posted.name, space.space_type, space.space_id, subspace, seq, "account:writer",
            now(), {"content": f"message {seq}{pad}"}, "request-1",
        )  # fmt: skip
        self._log[space].append(event)
        return event

    def age(self, event: LoggedEvent, by: timedelta) -> None:
        """Makes an event of the log older than it is."""
        events = self._log[SpaceKey(event.space_type, event.space_id)]
        events[events.index(event)] = replace(event, occurred_at=event.occurred_at - by)

    def forget(self, event: LoggedEvent) -> None:
        """Takes an event out of the log, as retention does. The heads stay."""
        self.forgotten.add(event.id)

    async def _heads(self, request: Heads) -> HeadNumbers:
        return HeadNumbers({name: len(self._log.get(SpaceKey.from_text(name), [])) for name in request.spaces})

    async def _events_since(self, request: EventsSince) -> Events:
        events = self._log.get(SpaceKey(request.space_type, request.space_id), [])
        page = [event for event in events[request.after_seq :] if event.id not in self.forgotten]
        return Events(page[: request.limit], len(events))

    async def _snapshot(self, request: GetSnapshot) -> Snapshot:
        events = self._log.get(SpaceKey(request.space_type, request.space_id), [])
        return Snapshot(len(events), [self._message(event) for event in events if event.concerns(request.subspace)])

    def _message(self, event: LoggedEvent) -> Message:
        return Message(
            event.id, event.seq, event.space_type, event.space_id, event.subspace or "main", "writer", False, "writer",
            "text", event.payload["content"] + self.pad, None, 0, {}, [], False, False, event.occurred_at,
            event.occurred_at, None,
        )  # fmt: skip

    async def _review(self, request: Review) -> Reviewed:
        """Reads the epoch before the policy, as spaces_auth does."""
        space = SpaceKey(request.space_type, request.space_id)
        epoch = await self.epoch_of(space)
        verdicts = [self._verdict(member) for member in request.members]
        return Reviewed(epoch, self.max_users, {"voice_enabled": True}, verdicts)

    async def _keep_epoch(self, space: SpaceKey) -> int:
        epoch = await cache.read_epoch(self._redis, space)
        await cache.keep_epoch(self._redis, space, epoch)
        return epoch

    def _verdict(self, member: ReviewedMember) -> Verdict:
        role = self.roles.get(member.id, "member" if member.kind == "account" else "guest")
        if member.id in self.banned:
            return Verdict(member.socket_id, False, role, BANNED.code, "rude")
        return Verdict(member.socket_id, True, role, muted=member.id in self.muted)

    async def _resolve_room(self, request: ResolveRoom) -> ResolvedRoom:
        space_type, space_id, subspace = request.room.split(":")
        return ResolvedRoom(space_type, space_id, subspace)

    async def _record(self, request: RecordPresence) -> Recorded:
        self.reports += request.changes
        return Recorded(len(request.changes))
