"""Gives callers without a token one answer, where the operation says that it may be shared and the service that it is
for all: whoever asks while it is asked, or within a second, is not passed on. Everybody else's question always is.
"""

import asyncio
from typing import Any

from libs.common.bus.base import Bus, Caller, Written
from libs.common.contracts.registry import Operation, Shared
from libs.common.errors import PresenceError
from libs.common.metrics import SHARED_ANSWERS
from libs.common.spaces import SpaceKey
from services.gateway.shared.hearing import Hearing
from services.gateway.shared.kept import Asked, Kept


class SharedAnswers:
    """`hits` and `misses` are how often an answer was there, and how often the service was asked."""

    def __init__(self, bus: Bus, hearing: Hearing, kept: Kept) -> None:
        self._bus = bus
        self._hearing = hearing
        self._kept = kept
        self.hits = 0
        self.misses = 0

    def standing(self) -> dict[str, Any]:
        """Returns what `/api/health` says: how many were asked of this gateway since it started, and the ratio."""
        asked = self.hits + self.misses
        return {
            "hits": self.hits,
            "misses": self.misses,
            "hit_ratio": round(self.hits / asked, 4) if asked else None,
        }

    async def ask(self, operation: Operation[Any, Any], request: Any, caller: Caller) -> Written:
        """Returns the reply. Raises what the bus raises."""
        if operation.writes:
            return await self._write(operation, request, caller)
        if operation.shared is None or not caller.identity.nobody or not self._hearing.hears:
            return await self._bus.call_for_json(operation, request, caller)
        asked = self._kept.get((operation.name, request))
        if asked is None:
            return await self._first(operation, operation.shared, request, caller)
        written = await _answer_for_all(asked)
        self._count(operation, hit=written is not None)
        return written or await self._bus.call_for_json(operation, request, caller)

    async def _write(self, operation: Operation[Any, Any], request: Any, caller: Caller) -> Written:
        """Carries a command out, after which its caller finds it done: other gateways hear of it over Redis."""
        try:
            return await self._bus.call_for_json(operation, request, caller)
        finally:
            self._kept.end(operation.name, _space_of(request))

    async def _first(self, operation: Operation[Any, Any], shared: Shared, request: Any, caller: Caller) -> Written:
        self._count(operation, hit=False)
        asking = asyncio.create_task(self._bus.call_for_json(operation, request, caller))
        self._kept.put((operation.name, request), _space_of(request) or "", shared, asking)
        return await asyncio.shield(asking)  # who waits too does not go with whoever asked

    def _count(self, operation: Operation[Any, Any], *, hit: bool) -> None:
        self.hits += hit
        self.misses += not hit
        SHARED_ANSWERS.labels(operation.name, "hit" if hit else "miss").inc()


async def _answer_for_all(asked: Asked) -> Written | None:
    """Returns the answer, or None where it was for its caller alone: a ban of an address, say.

    Raises what is no answer to anybody: a service that is away need not be asked by all who wait for it.
    """
    try:
        written = await asyncio.shield(asked.answer)
    except PresenceError as error:
        if error.kind.temporary:
            raise
        return None
    return written if written.for_all else None


def _space_of(request: Any) -> str | None:
    """Returns the space that a request names, or None."""
    space_type, space_id = getattr(request, "space_type", None), getattr(request, "space_id", None)
    return str(SpaceKey.parse(space_type, space_id)) if space_type and space_id else None
