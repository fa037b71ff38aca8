"""Keeps connections to endpoints open for a while, and makes each POST over one of its own."""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass

from services.webhook_dispatcher.posting.exchange import Exchange, NoAnswer, Progress, Request
from services.webhook_dispatcher.posting.wire import Dialler, Origin, Wire

IDLE_SECONDS = 15.0  # for which a connection is kept
MOST_IDLE = 500  # connections; more are closed at once


@dataclass(frozen=True, slots=True)
class Kept:
    wire: Wire
    end: asyncio.TimerHandle


class Client:
    """The deliverer bounds how many requests there are."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        self._idle: dict[Origin, deque[Kept]] = defaultdict(deque)
        self._kept = 0

    async def post(self, origin: Origin, request: Request, progress: Progress) -> None:
        """Makes a request, and puts into `progress` what is answered. Raises `OSError` if nothing is.

        A kept connection that the endpoint has just closed is no answer: the request is made over a new one.
        """
        wire = self._take(origin)
        try:
            await self._exchange(origin, wire or await self._dialler.dial(origin), request, progress)
        except (NoAnswer, ConnectionError):
            if wire is None or progress.has_begun:
                raise
            await self._exchange(origin, await self._dialler.dial(origin), request, progress)

    async def _exchange(self, origin: Origin, wire: Wire, request: Request, progress: Progress) -> None:
        is_reusable = False
        try:
            is_reusable = await Exchange(wire, progress).make(request)
        finally:
            if is_reusable and self._kept < MOST_IDLE:
                self._keep(origin, wire)
            else:
                wire.close()

    def _take(self, origin: Origin) -> Wire | None:
        while idle := self._idle.get(origin):
            kept = idle[-1]  # the one used last is the likeliest to be open
            kept.end.cancel()
            self._forget(origin, kept)
            if kept.wire.is_quiet:
                return kept.wire
            kept.wire.close()
        return None

    def _keep(self, origin: Origin, wire: Wire) -> None:
        def end() -> None:
            self._forget(origin, kept)
            wire.close()

        kept = Kept(wire, asyncio.get_running_loop().call_later(IDLE_SECONDS, end))
        self._kept += 1
        self._idle[origin].append(kept)

    def _forget(self, origin: Origin, kept: Kept) -> None:
        self._kept -= 1
        self._idle[origin].remove(kept)
        if not self._idle[origin]:
            del self._idle[origin]

    def close(self) -> None:
        """Closes what is kept."""
        for origin in [*self._idle]:
            while wire := self._take(origin):
                wire.close()
