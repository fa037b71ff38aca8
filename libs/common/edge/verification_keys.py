"""The public keys that tokens are verified with, as spaces_auth has them.

It leaves them in Redis too, where only it may write: so they outlive it, and an edge that starts while it is away knows
who its people are. It is asked first all the same, and what it says counts: whoever writes to Redis in its place may
make no key of ours another.
"""

import asyncio
import time
from typing import Any

import jwt
import msgspec
import structlog
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.bus.base import Bus, Caller
from libs.common.contracts import auth
from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.identity import Identity
from libs.common.ids import new_id
from libs.common.tasks.background import Background

_log = structlog.get_logger(__name__)
REFETCH_PAUSE = 5.0  # seconds after an answer of spaces_auth in which an unknown `kid` does not ask it again
ANSWER_SECONDS = 2.0  # for which it is waited for, before Redis is believed
RELOAD_SECONDS = 60.0  # after which a key that was made, or retired, is noticed
FIRST_PAUSE = 0.5  # seconds between two tries to have any keys at all
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode


class VerificationKeys:
    """A component, ready as soon as it has keys; it looks for them by itself, and for one that is unknown at once.

    Whoever needs the same look shares it, so that a crowd, or somebody with forged `kid`s, costs one at a time.
    """

    def __init__(self, bus: Bus, redis: cache.RedisClient, me: Identity) -> None:
        self._bus = bus
        self._redis = redis
        self._me = me
        self._keys: dict[str, jwt.PyJWK] = {}
        self._answered_at = float("-inf")  # by spaces_auth itself
        self._looking: asyncio.Task[None] | None = None
        self._background = Background()

    async def start(self) -> None:
        self._background.begin(self._look_forever())

    async def stop(self) -> None:
        await self._background.end()

    @property
    def ready(self) -> bool:
        return bool(self._keys)

    async def of(self, kid: str) -> jwt.PyJWK:
        """Raises `KeyError` for a key that there is not, `unavailable` where nobody can say whether there is."""
        if kid not in self._keys and not self._knows_all:
            await self._look()
        if kid not in self._keys and not self._knows_all:
            raise PresenceError(UNAVAILABLE, "Nobody can say just now whether this token is good.")
        return self._keys[kid]

    @property
    def _knows_all(self) -> bool:
        return time.monotonic() - self._answered_at < REFETCH_PAUSE

    async def _look_forever(self) -> None:
        while True:
            try:
                await self._look()
            except PresenceError as error:
                _log.warning("no keys to verify tokens with", error=str(error))
            await asyncio.sleep(RELOAD_SECONDS if self._keys else FIRST_PAUSE)

    async def _look(self) -> None:
        """Raises `unavailable` where nobody has the keys."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._fetch())
            self._looking.add_done_callback(_retrieve)
        await asyncio.shield(self._looking)

    async def _fetch(self) -> None:
        try:
            answer = await self._bus.call(auth.jwks, auth.Empty(), Caller(self._me, new_id()), timeout=ANSWER_SECONDS)
        except PresenceError as error:
            # Beside those that are known, which are as new as these, and came from spaces_auth itself.
            self._keys = {**await self._left_in_redis(error), **self._keys}
        else:
            self._keys = _read(answer.keys)
            self._answered_at = time.monotonic()

    async def _left_in_redis(self, reason: PresenceError) -> dict[str, jwt.PyJWK]:
        """Raises `unavailable` for the reason that spaces_auth gave, where Redis has no keys either."""
        try:
            kept = await self._redis.redis.get(cache.JWKS)
            if kept:
                return _read(_decode(kept))
        except (RedisError, OSError, msgspec.DecodeError) as error:
            _log.warning("no keys could be read from Redis", error=repr(error))
        raise PresenceError(UNAVAILABLE, reason.text) from reason


def _read(keys: list[dict[str, Any]]) -> dict[str, jwt.PyJWK]:
    """Returns the keys by their `kid`, but for those of a kind that only another version knows."""
    found = {}
    for key in keys:
        try:
            found[key["kid"]] = jwt.PyJWK(key)
        except (jwt.PyJWTError, KeyError) as error:
            _log.warning("a key cannot be used", kid=key.get("kid"), error=repr(error))
    return found


def _retrieve(task: asyncio.Task[None]) -> None:
    """Takes note of a failure, also where everybody who waited for it has gone."""
    if not task.cancelled():
        task.exception()
