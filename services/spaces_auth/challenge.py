"""The text that a login signs: made here only, bound to host, account and time, good for one try."""

import secrets
from datetime import datetime, timedelta

from redis.asyncio import Redis

from libs.common import cache
from libs.common.clock import now, rfc3339
from libs.common.errors import UNAUTHORIZED, PresenceError

_NONCE_LINE = "nonce: "


class Challenges:
    """Outstanding challenges, in Redis; `host` is the public host that the text names."""

    def __init__(self, redis: Redis, host: str, seconds: int) -> None:
        self._redis, self._host, self._seconds = redis, host, seconds

    async def issue(self, account: str) -> tuple[str, datetime]:
        """A fresh text for `account` and when it runs out."""
        nonce, issued = secrets.token_hex(16), now()
        expires = issued + timedelta(seconds=self._seconds)
        text = (
            f"Sign in to {self._host} as @{account}.\n"
            "This signature moves no funds and posts nothing.\n"
            f"{_NONCE_LINE}{nonce}\nissued: {rfc3339(issued)}\nexpires: {rfc3339(expires)}"
        )
        with cache.redis_unavailable():
            await self._redis.set(cache.challenge(nonce), f"{account}\n{text}", ex=self._seconds)
        return text, expires

    async def spend(self, account: str, text: str) -> None:
        """Use the challenge up, before anything else is verified. Raises `unauthorized`."""
        nonce = next((line[len(_NONCE_LINE) :] for line in text.splitlines() if line.startswith(_NONCE_LINE)), "")
        with cache.redis_unavailable():
            issued = await self._redis.getdel(cache.challenge(nonce))
        if issued != f"{account}\n{text}".encode():
            raise PresenceError(
                UNAUTHORIZED, "The challenge is unknown, used or too old; ask /api/auth/challenge for a new one."
            )
