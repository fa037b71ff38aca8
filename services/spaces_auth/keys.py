"""The Ed25519 keys that sign tokens: kept sealed in the database, shared by all processes."""

import asyncio
import base64
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.engine import Database
from libs.common.db.models.auth import SigningKey
from libs.common.ids import new_id
from libs.common.sealing import Sealer
from libs.common.tokens import Signer

RELOAD_SECONDS = 60.0  # after which a key that another process made is seen
_LOCK = 0x4B455953  # "KEYS": two first processes make one key, not two


class SigningKeys:
    """`signer` is the newest key; `jwks` has every key that is not retired."""

    def __init__(self, database: Database, sealer: Sealer, issuer: str) -> None:
        self._database, self._sealer, self._issuer = database, sealer, issuer
        self._rows: list[Any] = []
        self._loaded_at = float("-inf")
        self._loading = asyncio.Lock()

    async def signer(self) -> Signer:
        newest = (await self._current())[0]
        private = self._sealer.open(newest.private_key_sealed, newest.kid)
        return Signer(self._issuer, newest.kid, Ed25519PrivateKey.from_private_bytes(private))

    async def jwks(self) -> list[dict[str, Any]]:
        """Public keys as RFC 8037 JWKs, newest first."""
        return [_jwk(row.kid, row.public_key) for row in await self._current()]

    async def _current(self) -> list[Any]:
        async with self._loading:
            if time.monotonic() - self._loaded_at > RELOAD_SECONDS:
                self._rows = await self._load()
                self._loaded_at = time.monotonic()
        return self._rows

    async def _load(self) -> list[Any]:
        async with self._database.read() as connection:
            rows = await _read(connection)
        if rows:
            return rows
        async with self._database.transaction() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            if not await _read(connection):
                await connection.execute(insert(SigningKey).values(**self._make()))
            return await _read(connection)

    def _make(self) -> dict[str, Any]:
        kid, key = new_id(), Ed25519PrivateKey.generate()
        return {
            "kid": kid,
            "public_key": key.public_key().public_bytes_raw(),
            "private_key_sealed": self._sealer.seal(key.private_bytes_raw(), kid),
        }


async def _read(connection: AsyncConnection) -> list[Any]:
    statement = (
        select(SigningKey.kid, SigningKey.public_key, SigningKey.private_key_sealed)
        .where(SigningKey.retired_at.is_(None))
        .order_by(SigningKey.created_at.desc(), SigningKey.kid.desc())
    )
    return list((await connection.execute(statement)).all())


def _jwk(kid: str, public_key: bytes) -> dict[str, Any]:
    Ed25519PublicKey.from_public_bytes(public_key)  # what cannot be a key is not handed out
    x = base64.urlsafe_b64encode(public_key).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x}
