"""Keeps things in Redis, where each change is decided.

The changes of a space go one batch after the other, each batch in the order in which they were asked for, so a
member's changes keep theirs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from libs.common import cache
from libs.common.contracts.members import Member
from libs.common.contracts.things import MAX_FIELDS, MAX_STATE_BYTES
from libs.common.errors import CONFLICT, FORBIDDEN, INVALID_INPUT, NOT_FOUND, UNAVAILABLE, PresenceError
from libs.common.spaces import SpaceKey
from libs.common.tasks.batching import Batches
from services.realtime.cluster import messages, thing_scripts
from services.realtime.cluster.messages import ThingRecord


def keys(space: SpaceKey) -> list[str]:
    """Returns the keys that scripts with things take, beside those of members and people."""
    return [cache.things(space), cache.thing_counts(space), cache.thing_holders(space), cache.thing_version(space)]


@dataclass(frozen=True, slots=True)
class Change:
    """What a member asks for; `action` is make, hold, set, release or remove, `arguments` are those of the script."""

    action: str
    member: Member
    home: str
    moderates: bool
    id: str
    arguments: tuple[str | int, ...] = ()

    @classmethod
    def make(cls, who: "Actor", id: str, state: dict[str, str], *, hold: bool) -> "Change":
        return who.does("make", id, as_json(state), size_of(state), int(hold), who.member.user_account or "")

    @classmethod
    def set(cls, who: "Actor", id: str, fields: dict[str, str], version: int | None) -> "Change":
        return who.does("set", id, as_json(fields), "" if version is None else version, MAX_STATE_BYTES, MAX_FIELDS)

    def script_arguments(self, space: SpaceKey) -> list[str | int]:
        member, moderates = self.member, int(self.moderates)
        place = member.socket_id, member.owner, member.subspace, self.home
        return [cache.wire(space), self.action, *place, moderates, self.id, *self.arguments]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes a thing; `home` is the address as limits count it."""

    member: Member
    home: str
    moderates: bool = False

    def does(self, action: str, id: str, *arguments: str | int) -> Change:
        return Change(action, self.member, self.home, self.moderates, id, arguments)


class ThingStore:
    """Every method raises `unavailable` while Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(thing_scripts.CHANGE_THING)
        self._read = redis.register_script(thing_scripts.READ_THINGS)
        self._put_back = redis.register_script(thing_scripts.PUT_BACK_THINGS)
        self._changes = Batches(self._change_together)

    async def change(self, space: SpaceKey, change: Change) -> ThingRecord:
        """Returns the thing as it is after the change, which everybody is told of on the space's channel.

        Raises `not_found`; `conflict` where somebody else holds it, it has another version or a bound is reached;
        `forbidden` for the removal of what another made; `too_large`; `unavailable` for a socket that is no member.
        """
        return await self._changes.do(space, change)

    async def _change_together(
        self, space: SpaceKey, changes: Sequence[Change]
    ) -> Sequence[ThingRecord | PresenceError]:
        with cache.redis_unavailable():
            answers = await self._send(space, changes)
            if any(isinstance(answer, NoScriptError) for answer in answers):  # then none was carried out
                await self._redis.script_load(thing_scripts.CHANGE_THING)
                answers = await self._send(space, changes)
        return [_outcome(answer) for answer in answers]

    async def _send(self, space: SpaceKey, changes: Iterable[Change]) -> list[Any]:
        names = [cache.members(space), cache.people(space), *keys(space)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for change in changes:
                pipe.evalsha(self._script.sha, len(names), *names, *change.script_arguments(space))
            return list(await pipe.execute(raise_on_error=False))

    async def read(self, space: SpaceKey) -> tuple[int, list[ThingRecord]]:
        """Returns version and things of one moment, all subspaces; 0 as version where Redis has none."""
        with cache.redis_unavailable():
            version, things = await self._read(keys=_all_keys(space))
        return int(version), [messages.decode_thing(thing) for thing in things]

    async def put_back(self, space: SpaceKey, version: int, things: Iterable[ThingRecord]) -> None:
        """Stores things as they were at a version that Redis has lost, unless another replica has done so."""
        records = [messages.encode(thing) for thing in things]
        with cache.redis_unavailable():
            await self._put_back(keys=_all_keys(space), args=[cache.wire(space), version, *records])


def _all_keys(space: SpaceKey) -> list[str]:
    return [cache.members(space), cache.people(space), *keys(space)]


def as_json(state: dict[str, str]) -> str:
    return msgspec.json.encode(state).decode()


def size_of(state: dict[str, str]) -> int:
    """Returns bytes."""
    return sum(len(name.encode()) + len(value.encode()) for name, value in state.items())


def _outcome(answer: Any) -> ThingRecord | PresenceError:
    if isinstance(answer, ResponseError):  # Redis is full, above all
        return PresenceError(UNAVAILABLE, "Things cannot be changed for a moment.")
    if isinstance(answer, Exception):
        raise answer
    code, *rest = answer
    return messages.decode_thing(rest[1]) if code == b"ok" else _refusal(code.decode(), rest)


def _refusal(code: str, rest: list[Any]) -> PresenceError:
    if code == "held":
        return PresenceError(CONFLICT, "Somebody else holds it.", {"holder": rest[0].decode()})
    if code == "changed":
        return PresenceError(CONFLICT, "It has changed since.", {"version": int(rest[0])})
    if code == "full":
        text = f"{rest[0].decode()} at most {rest[1]} things of {rest[2]} bytes in all; remove one first."
        return PresenceError(CONFLICT, text)
    if code == "hands":
        return PresenceError(CONFLICT, f"One may hold at most {rest[0]} things at once; release one first.")
    return {
        "missing": PresenceError(NOT_FOUND, "There is no such thing here."),
        "others": PresenceError(FORBIDDEN, "A thing is removed by who made it, or by a moderator."),
        "large": too_large(),
    }.get(code) or PresenceError(UNAVAILABLE, "You are not known to be in the space just now; try again.")


def too_large() -> PresenceError:
    return PresenceError(INVALID_INPUT, f"A thing's state is at most {MAX_STATE_BYTES} bytes in {MAX_FIELDS} fields.")
