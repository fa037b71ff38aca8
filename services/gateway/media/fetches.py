"""Which files are being fetched: each once however many wait for it, few at a time, and few for one address."""

import asyncio
import time
from collections import OrderedDict
from pathlib import Path

from libs.common.contracts.registry import Limit
from libs.common.edge.limits import LimitHere
from libs.common.edge.under_way import UnderWay
from libs.common.errors import FORBIDDEN, NOT_FOUND, RATE_LIMITED, TOO_LARGE, UNAVAILABLE, PresenceError
from services.gateway.media.store import Store
from services.gateway.media.upstream import Upstream

FETCHES = Limit(120, 60, per_address=True)
"""Files that an address may have fetched; what is here already costs nothing."""
MEBIBYTES = Limit(1024, 60, per_address=True)
"""What those files may be together. The one that goes beyond it comes whole; the next has to wait."""
MOST_WAITING = 256  # files that are being fetched or wait for it
LASTING = (NOT_FOUND, FORBIDDEN, TOO_LARGE)
REMEMBERED_SECONDS = 60.0  # how long a file is known not to be served
MOST_REMEMBERED = 10_000


class Fetches:
    """A component. A fetch goes on when those who wait for it leave: the next one finds the file."""

    def __init__(self, store: Store, upstream: Upstream, at_once: int, each: int, factor: float) -> None:
        self._store = store
        self._upstream = upstream
        self._places = asyncio.Semaphore(at_once)
        self._each = each
        self._files = LimitHere(FETCHES, factor)
        self._mebibytes = LimitHere(MEBIBYTES, factor)
        self._tasks: dict[str, asyncio.Task[Path]] = {}
        self._waiting = UnderWay()
        self._refused: OrderedDict[str, tuple[float, PresenceError]] = OrderedDict()

    async def start(self) -> None:
        await asyncio.to_thread(self._store.open)
        await self._upstream.start()

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._upstream.stop()

    async def get(self, what: str, address: str) -> Path:
        """Returns the file of `cid[/path]`. Raises what `Upstream.fetch` does, and `rate_limited`."""
        if file := self._store.find(what):
            return file
        if refusal := self._refusal(what):
            raise refusal
        if self._waiting.of(address) >= self._each:
            raise PresenceError(RATE_LIMITED, "Too many files at once.", {"retry_after": 1})
        with self._waiting.one(address):
            return await asyncio.shield(self._tasks.get(what) or self._begin(what, address))

    def _begin(self, what: str, address: str) -> asyncio.Task[Path]:
        for state in (self._files.spend(address), self._mebibytes.spend(address, 0)):
            if state.exceeded:
                raise state.error()
        if len(self._tasks) >= MOST_WAITING:
            raise PresenceError(UNAVAILABLE, "Too many files are being fetched.")
        task = self._tasks[what] = asyncio.create_task(self._fetch(what, address))
        task.add_done_callback(lambda done: self._end(what, done))
        return task

    def _end(self, what: str, task: asyncio.Task[Path]) -> None:
        del self._tasks[what]
        error = None if task.cancelled() else task.exception()  # asked for, so that nobody need have waited
        if isinstance(error, PresenceError) and error.kind in LASTING:
            self._refused[what] = (time.monotonic() + REMEMBERED_SECONDS, error)
            while len(self._refused) > MOST_REMEMBERED:
                self._refused.popitem(last=False)

    async def _fetch(self, what: str, address: str) -> Path:
        async with self._places:
            written = self._store.unfinished()
            try:
                try:
                    ending = await self._upstream.fetch(what, written)
                finally:
                    self._mebibytes.spend(address, _mebibytes(written))
                return await self._store.keep(what, written, ending)
            finally:
                written.unlink(missing_ok=True)

    def _refusal(self, what: str) -> PresenceError | None:
        until, error = self._refused.get(what, (0.0, None))
        if error is None or time.monotonic() < until:
            return error and PresenceError(error.kind, error.text)
        del self._refused[what]
        return None


def _mebibytes(file: Path) -> int:
    """Returns the size of what was written, rounded up; 0 for no file."""
    return -(-file.stat().st_size // 2**20) if file.exists() else 0
