"""Passwords of events: kept as scrypt's hashes (RFC 7914), compared a few at a time."""

import asyncio
import base64
import hashlib
import hmac
import os

from libs.common.db import primary_passwords
from libs.common.errors import UNAVAILABLE, PresenceError

COST, BLOCK, LANES = 2**14, 8, 1  # 16 MiB and some 50 ms each
MEMORY = 2 * 128 * COST * BLOCK  # bytes that OpenSSL may take
AT_ONCE = 2  # comparisons of a process; others wait
MOST_WAITING = 20  # for a second, then; whoever comes beyond them is told so at once
SALT_BYTES = 16


class Passwords:
    """Hashes and compares in threads, so that nobody else waits for it. Raises `unavailable` beyond `MOST_WAITING`."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def hashed(self, password: str) -> str:
        """Returns what is stored of a password: salt and hash, base64, with a dollar between."""
        salt = os.urandom(SALT_BYTES)
        return f"{_text(salt)}${_text(await self._hash(password, salt))}"

    async def fits(self, password: str, stored: str) -> bool:
        """Returns whether `stored` is of that password."""
        if primary_passwords.is_digest(stored):
            return primary_passwords.fits(password, stored)
        salt, _, known = stored.partition("$")
        return hmac.compare_digest(await self._hash(password, base64.b64decode(salt)), base64.b64decode(known))

    async def _hash(self, password: str, salt: bytes) -> bytes:
        if self._waiting >= MOST_WAITING:
            raise PresenceError(UNAVAILABLE, "Too many passwords are compared at once; try again.", {"retry_after": 1})
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(
                    hashlib.scrypt,
                    password.encode(),
                    salt=salt,
                    n=COST,
                    r=BLOCK,
                    p=LANES,
                    maxmem=MEMORY,
                )
        finally:
            self._waiting -= 1


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
