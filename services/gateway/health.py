"""Serves `/health` and `/api/health`: public, and both tell how current the replica is now, whenever that was written.

`/api/health` tells of backups too.

Both are answered from a picture of the last second: however often they are asked, the parts are asked once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from redis.exceptions import OutOfMemoryError, RedisError

from libs.common import cache
from libs.common.bus.base import Bus, BusUnavailable, Caller
from libs.common.clock import now
from libs.common.contracts import content, log
from libs.common.contracts.auth import Empty
from libs.common.contracts.content import UNKNOWN_BACKUPS, BackupStatus
from libs.common.contracts.schema import load
from libs.common.contracts.schema.writing import dump
from libs.common.errors import PresenceError
from libs.common.identity import service_identity
from libs.common.ids import new_id
from services.gateway.server import HEALTH

_ME = service_identity("gateway")
PICTURE_SECONDS = 1.0
SYNC = "sync"  # among what is at fault: the replica is behind
PATIENCE = 2.0  # seconds for a component to answer


class Picture:
    """What `look` saw, at most `PICTURE_SECONDS` ago; everybody who asks meanwhile waits for the same look."""

    def __init__(self, look: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._look = look
        self._seen: dict[str, Any] = {}
        self._until = float("-inf")
        self._looking = asyncio.Lock()

    async def get(self) -> dict[str, Any]:
        async with self._looking:
            if time.monotonic() >= self._until:
                self._seen = await self._look()
                self._until = time.monotonic() + PICTURE_SECONDS
            return self._seen


class Health:
    """The two routes; `add_to` puts them into a router."""

    def __init__(self, bus: Bus, redis: cache.RedisClient, sharing: Callable[[], dict[str, Any]]) -> None:
        """`sharing` tells how many answers were shared."""
        self._bus = bus
        self._sharing = sharing
        self._redis = redis
        self._picture = Picture(self._look)

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get(HEALTH[0], self._short)
        router.add_get(HEALTH[1], self._full)

    async def _short(self, _: web.Request) -> web.Response:
        """Answers 200 while this gateway serves; `sync.current` tells whether the replica is current."""
        seen = await self._picture.get()
        return web.json_response({"status": "ok", "sync": {"current": seen["sync"]["current"]}})

    async def _full(self, _: web.Request) -> web.Response:
        """Answers 503 when a component that clients need is away; a replica that is behind serves them all the same."""
        seen = await self._picture.get()
        return web.json_response(seen, status=200 if seen["at_fault"] in ([], [SYNC]) else 503)

    async def _look(self) -> dict[str, Any]:
        """Asks every part, all at once."""
        redis, rabbitmq, behind, sync, sockets, backup = await asyncio.gather(
            _timed(self._write_to_redis()),
            self._broker(),
            self._behind_the_bus(),
            self._sync(),
            self._sockets(),
            self._backup(),
        )
        if not rabbitmq["ok"]:
            behind = dict.fromkeys(behind, _unknown("rabbitmq"))
        components = {"redis": redis, "rabbitmq": rabbitmq, **behind}
        at_fault = [name for name, component in components.items() if component["ok"] is False]
        if not sync["current"]:
            at_fault.append(SYNC)
        return {
            "status": "degraded" if at_fault else "ok",
            "at_fault": at_fault,
            "components": components,
            "sync": sync,
            "backup": backup,
            "sessions": sockets,
            "cache": self._sharing(),
        }

    async def _write_to_redis(self) -> None:
        """A Redis at its memory limit answers, and takes nothing."""
        await self._redis.redis.set(cache.HEALTH_PROBE, "", ex=cache.HEALTH_PROBE_SECONDS)

    async def _broker(self) -> dict[str, Any]:
        try:
            return await _timed(self._bus.check())
        except BusUnavailable as error:
            return _fault(error)

    async def _behind_the_bus(self) -> dict[str, dict[str, Any]]:
        """Asks spaces_auth for something of the database, which the gateway does not reach itself."""
        try:
            answered = await _timed(self._ask_spaces_auth())
        except BusUnavailable as error:
            return {"spaces_auth": _fault(error), "database": _unknown("spaces_auth")}
        return {"spaces_auth": {"ok": True}, "database": answered}

    async def _ask_spaces_auth(self) -> None:
        await self._bus.call(log.heads, log.Heads(["global:lobby"]), Caller(_ME, new_id()), timeout=PATIENCE)

    async def _sync(self) -> dict[str, Any]:
        """Returns the status that sync_worker left in Redis, else its answer to a call, as it is by our clock."""
        try:
            stored = await self._redis.redis.get(cache.SYNC_STATUS)
        except (RedisError, OSError):
            stored = None
        status = _readable(stored) if stored else None
        if status is None:
            try:
                status = await self._bus.call(content.sync_status, Empty(), Caller(_ME, new_id()), timeout=PATIENCE)
            except PresenceError as error:
                return {"current": False, "tables": [], "error": f"sync_worker does not say: {error.text}"}
        return dump(status.at(now()))

    async def _backup(self) -> dict[str, Any]:
        """Returns how old the newest backup is now. One that is too old hurts nobody yet: it is not `at_fault`."""
        try:
            stored = await self._redis.redis.get(cache.BACKUP_STATUS)
            status = msgspec.json.decode(stored, type=BackupStatus) if stored else UNKNOWN_BACKUPS
        except (RedisError, OSError, msgspec.DecodeError):
            status = UNKNOWN_BACKUPS
        return status.seen_at(now())

    async def _sockets(self) -> int | None:
        """Returns the number of sockets in all spaces, or None while Redis is away."""
        try:
            counts: Any = await self._redis.redis.zrange(cache.ACTIVE, 0, -1, withscores=True)
        except (RedisError, OSError):
            return None
        return int(sum(score for _, score in counts))


def _readable(stored: bytes | str) -> content.SyncStatus | None:
    """Returns a stored status, or None for one that another version left: health must not break on it."""
    try:
        return load(content.SyncStatus, msgspec.json.decode(stored))
    except (msgspec.DecodeError, PresenceError):
        return None


async def _timed(check: Awaitable[None]) -> dict[str, Any]:
    """Runs a check; returns `{ok, milliseconds}`, or `{ok: false, error}`. Raises what only the bus can tell."""
    started = time.monotonic()
    try:
        await check
    except BusUnavailable:
        raise
    except (PresenceError, RedisError, OSError) as error:
        return _fault(error)
    return {"ok": True, "milliseconds": round((time.monotonic() - started) * 1000, 1)}


def _fault(error: Exception) -> dict[str, Any]:
    if isinstance(error, OutOfMemoryError):
        return {"ok": False, "error": "It is full."}
    return {"ok": False, "error": error.text if isinstance(error, PresenceError) else "It is away."}


def _unknown(missing: str) -> dict[str, Any]:
    """What is said of a part that can be asked through another only."""
    return {"ok": None, "error": f"It cannot be asked without {missing}."}
