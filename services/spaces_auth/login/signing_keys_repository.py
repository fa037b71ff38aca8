"""SQL on `signing_keys`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.auth import SigningKey

_LOCK = 0x4B455953  # "KEYS"


async def lock(connection: AsyncConnection) -> None:
    """Waits until no other process makes or retires keys, and keeps them out until the transaction ends."""
    await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


async def active(connection: AsyncConnection) -> list[Row[Any]]:
    """Returns `kid`, `public_key`, `private_key_sealed` and `created_at` of keys in use, newest first."""
    columns = (SigningKey.kid, SigningKey.public_key, SigningKey.private_key_sealed, SigningKey.created_at)
    statement = (
        select(*columns)
        .where(SigningKey.retired_at.is_(None))
        .order_by(SigningKey.created_at.desc(), SigningKey.kid.desc())
    )
    rows: Any = (await connection.execute(statement)).all()
    return list(rows)


async def insert(connection: AsyncConnection, kid: str, public_key: bytes, private_key_sealed: bytes) -> None:
    """Stores a new key; it is the newest from now on."""
    values = {"kid": kid, "public_key": public_key, "private_key_sealed": private_key_sealed}
    await connection.execute(pg_insert(SigningKey).values(**values))


async def retire(connection: AsyncConnection, kids: Sequence[str]) -> None:
    """Takes keys out of use."""
    if kids:
        await connection.execute(update(SigningKey).where(SigningKey.kid.in_(kids)).values(retired_at=func.now()))
