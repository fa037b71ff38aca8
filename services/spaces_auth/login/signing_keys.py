"""The Ed25519 keys that sign tokens: kept sealed in the database, shared by all processes.

A key is published in the JWKS for a while before it signs, so that every process and every edge knows it by then, and
for as long after its last signature as that token may live. The first process to look when a successor is due makes it.
"""

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.db.engine import Database
from libs.common.db.sealing import Sealer
from libs.common.ids import new_id
from libs.common.tokens import Signer
from services.spaces_auth.login import signing_keys_repository as repository
from services.spaces_auth.settings import Settings

RELOAD_SECONDS = 60.0  # after which a key that another process made is seen
SETTLING = timedelta(seconds=2 * RELOAD_SECONDS)  # from a key's making to its first signature


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """`rotation` is the age at which a key gets a successor, `token` the longest life of what it signs."""

    rotation: timedelta = timedelta(days=30)
    token: timedelta = timedelta(days=1)


def lifetimes(settings: Settings) -> Lifetimes:
    """Returns the lifetimes by the settings; `token` is the longest of the three kinds of token."""
    longest = max(settings.token_seconds, settings.guest_token_seconds, settings.admission_seconds)
    return Lifetimes(timedelta(days=settings.key_rotation_days), timedelta(seconds=longest))


class SigningKeys:
    """`signer` is the newest key that has settled; `jwks` has every key that is not retired."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        issuer: str,
        lifetimes: Lifetimes = Lifetimes(),
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._issuer = issuer
        self._lifetimes = lifetimes
        self._rows: list[Row[Any]] = []
        self._loaded_at = float("-inf")
        self._loading = asyncio.Lock()
        self._signer: Signer | None = None

    async def signer(self) -> Signer:
        """Returns a signer with the key that signs now, making the first key where there is none."""
        row = _signing(await self._current())
        if self._signer is None or self._signer.kid != row.kid:
            private = self._sealer.open(row.private_key_sealed, row.kid)
            self._signer = Signer(self._issuer, row.kid, Ed25519PrivateKey.from_private_bytes(private))
        return self._signer

    async def jwks(self) -> list[dict[str, Any]]:
        """Returns the public keys as RFC 8037 JWKs, newest first."""
        return [_jwk(row.kid, row.public_key) for row in await self._current()]

    async def _current(self) -> list[Row[Any]]:
        async with self._loading:
            if time.monotonic() - self._loaded_at > RELOAD_SECONDS:
                self._rows = await self._load()
                self._loaded_at = time.monotonic()
        return self._rows

    async def _load(self) -> list[Row[Any]]:
        async with self._database.read() as connection:
            rows = await repository.active(connection)
        if rows and not self._is_due(rows) and not self._outlived(rows):
            return rows
        async with self._database.transaction() as connection:
            await repository.lock(connection)  # two first processes make one key, not two
            rows = await repository.active(connection)
            if self._is_due(rows):
                await self._make(connection)
            await repository.retire(connection, self._outlived(rows))
            return await repository.active(connection)

    def _is_due(self, rows: Sequence[Row[Any]]) -> bool:
        return not rows or rows[0].created_at < now() - self._lifetimes.rotation

    def _outlived(self, rows: Sequence[Row[Any]]) -> list[str]:
        """Returns the ids of keys whose successor has signed for longer than a token lives."""
        longest = self._lifetimes.token + SETTLING + timedelta(seconds=RELOAD_SECONDS)
        return [row.kid for newer, row in pairwise(rows) if newer.created_at < now() - longest]

    async def _make(self, connection: AsyncConnection) -> None:
        kid, key = new_id(), Ed25519PrivateKey.generate()
        sealed = self._sealer.seal(key.private_bytes_raw(), kid)
        await repository.insert(connection, kid, key.public_key().public_bytes_raw(), sealed)


def _signing(rows: Sequence[Row[Any]]) -> Row[Any]:
    """Returns the newest key that every process has had time to load; the very first signs at once."""
    settled = now() - SETTLING
    return next((row for row in rows if row.created_at <= settled), rows[-1])


def _jwk(kid: str, public_key: bytes) -> dict[str, Any]:
    Ed25519PublicKey.from_public_bytes(public_key)  # raises for bytes that are no key, which are not handed out
    x = base64.urlsafe_b64encode(public_key).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x}
