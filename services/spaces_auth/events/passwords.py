"""Passwords of events: kept as scrypt's hashes (RFC 7914), compared a few at a time."""

import asyncio
import base64
import hashlib
import hmac
import os

COST, BLOCK, LANES = 2**14, 8, 1  # 16 MiB and some 50 ms each
AT_ONCE = 2  # comparisons of a process; others wait
SALT_BYTES = 16


class Passwords:
    """Hashes and compares in threads, so that nobody else waits for it."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def hashed(self, password: str) -> str:
        """Returns what is stored of a password: salt and hash, base64, with a dollar between."""
        salt = os.urandom(SALT_BYTES)
        return f"{_text(salt)}${_text(await self._hash(password, salt))}"

    async def fits(self, password: str, stored: str) -> bool:
        """Returns whether `stored` is of that password."""
        salt, _, known = stored.partition("$")
        return hmac.compare_digest(await self._hash(password, base64.b64decode(salt)), base64.b64decode(known))

    async def _hash(self, password: str, salt: bytes) -> bytes:
        async with self._turns:
            return await asyncio.to_thread(
                hashlib.scrypt, password.encode(), salt=salt, n=COST, r=BLOCK, p=LANES, maxmem=2 * 128 * COST * BLOCK
            )


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
