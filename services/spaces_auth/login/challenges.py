"""Challenges: the texts that a login signs. Each is made here only, bound to host, account and time, and used once."""

import re
import secrets
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from libs.common import cache
from libs.common.clock import now, rfc3339
from libs.common.errors import UNAUTHORIZED, PresenceError

_NONCE_LINE = "nonce: "
_NONCE = re.compile(r"[0-9a-f]{32}")


class Challenges:
    """Outstanding challenges, in Redis; `host` is the public host that the text names."""

    def __init__(self, redis: Redis, host: str, seconds: int) -> None:
        self._redis = redis
        self._host = host
        self._seconds = seconds

    async def issue(self, account: str) -> tuple[str, datetime]:
        """Returns a fresh text for `account` to sign, and the moment at which it expires."""
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

    async def spend(self, challenge: str, account: str | None = None) -> tuple[str, str]:
        """Uses the challenge up, before anything else is verified; returns the account and the text it was made with.

        `challenge` is the whole text, or its nonce alone, since a header holds no lines. Raises `unauthorized` for one
        that is unknown, used, expired, or made for another than `account`.
        """
        nonce = challenge if _NONCE.fullmatch(challenge) else _nonce_of(challenge)
        with cache.redis_unavailable():
            stored: Any = await self._redis.getdel(cache.challenge(nonce))
        issued_to, _, text = (stored or b"").decode().partition("\n")
        if not text or challenge not in (nonce, text) or account not in (None, issued_to):
            raise PresenceError(
                UNAUTHORIZED, "The challenge is unknown, used or too old; ask /api/auth/challenge for a new one."
            )
        return issued_to, text


def _nonce_of(text: str) -> str:
    return next((line[len(_NONCE_LINE) :] for line in text.splitlines() if line.startswith(_NONCE_LINE)), "")
