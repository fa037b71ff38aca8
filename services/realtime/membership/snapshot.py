"""Makes the snapshot that a client is sent on entering: chat's part of it, and the whole `space-joined`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from libs.common.bus.base import Bus, Caller
from libs.common.clock import now, rfc3339
from libs.common.contracts import chat
from libs.common.contracts.chat import GetSnapshot
from libs.common.contracts.schema.writing import encode
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tasks.batching import Batches
from services.realtime.rooms.client import Place
from services.realtime.space.inbox import Present


class Snapshot:
    """The newest messages of a subspace as JSON, and the `seq` of the moment at which they were read."""

    def __init__(self, answer: chat.Snapshot) -> None:
        self.seq = answer.seq
        self.message_count = len(answer.messages)
        self.messages = msgspec.Raw(b"[" + b",".join(map(encode, answer.messages)) + b"]")


class Snapshots:
    """Asks chat once for all who enter a subspace at the same moment, and encodes its answer once."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._batches = Batches(self._ask)

    async def of(self, space: SpaceKey, subspace: str) -> Snapshot:
        """Raises what the bus raises, `unavailable` above all."""
        return await self._batches.do((space, subspace), None)

    async def _ask(self, place: tuple[SpaceKey, str], askers: Sequence[None]) -> list[Snapshot]:
        space, subspace = place
        caller = Caller(service_identity("realtime"), new_id())
        request = GetSnapshot(space.space_type, space.space_id, subspace)
        return [Snapshot(await self._bus.call(chat.snapshot, request, caller))] * len(askers)


def space_joined(
    place: Place, snapshot: Snapshot, present: Present, pose: bytes | None, *, gap: bool
) -> dict[str, Any]:
    """Returns a `SpaceJoined`, of which what is large is JSON already."""
    return {
        "success": True,
        "spaceType": place.space.space_type,
        "spaceId": place.space.space_id,
        "subspace": place.subspace,
        "role": place.authorization.role,
        "seq": snapshot.seq,
        "users": present.users,
        "you": place.member.joined(),
        "pose": msgspec.Raw(pose) if pose else None,
        "entities": msgspec.Raw(msgspec.json.encode(present.entities)),
        "things": present.things,
        "messages": snapshot.messages,
        "settings": place.authorization.settings,
        "timestamp": rfc3339(now()),
        "gap": gap,
    }
