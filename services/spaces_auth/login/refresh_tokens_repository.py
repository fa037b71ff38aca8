"""SQL on `refresh_tokens`. A family is all refresh tokens of one login."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Text, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased
from sqlalchemy.sql.functions import Function

from libs.common.db.models.auth import RefreshToken


async def add_refresh_token(
    connection: AsyncConnection, token_hash: bytes, family_id: str, account: str, expires_at: datetime
) -> None:
    """Stores a new token."""
    values = {"token_hash": token_hash, "family_id": family_id, "account": account, "expires_at": expires_at}
    await connection.execute(insert(RefreshToken).values(**values))


async def lock_family_of(connection: AsyncConnection, token_hash: bytes) -> str | None:
    """Waits until nobody else uses or revokes tokens of this one's login, and keeps them out for the transaction.

    Returns the login; None for a token that is unknown.
    """
    statement = select(RefreshToken.family_id, _lock(RefreshToken.family_id)).where(
        RefreshToken.token_hash == token_hash
    )
    row = (await connection.execute(statement)).one_or_none()
    return row.family_id if row else None


async def find(connection: AsyncConnection, token_hash: bytes, successor_hash: bytes) -> Row[Any] | None:
    """Returns a token that has not expired: `account`, `used_at`, `revoked_at`, `successor_used_at`, and `seen_at`.

    `has_successor` says whether the token with `successor_hash` is stored; `seen_at` is the database's clock.
    """
    successor = aliased(RefreshToken)
    statement = (
        select(
            RefreshToken.account,
            RefreshToken.used_at,
            RefreshToken.revoked_at,
            successor.token_hash.is_not(None).label("has_successor"),
            successor.used_at.label("successor_used_at"),
            func.clock_timestamp().label("seen_at"),
        )
        .outerjoin(successor, successor.token_hash == successor_hash)
        .where(RefreshToken.token_hash == token_hash, RefreshToken.expires_at > func.clock_timestamp())
    )
    row: Row[Any] | None = (await connection.execute(statement)).one_or_none()
    return row


async def mark_used(connection: AsyncConnection, token_hash: bytes) -> None:
    """Notes the first use of a token."""
    statement = update(RefreshToken).where(RefreshToken.token_hash == token_hash)
    await connection.execute(statement.values(used_at=func.clock_timestamp()))


async def newest(connection: AsyncConnection, before: datetime) -> datetime | None:
    """Returns when the newest token from before a moment was made: the one that lives longest."""
    statement = select(RefreshToken.created_at).where(RefreshToken.created_at < before)
    return (await connection.execute(statement.order_by(RefreshToken.expires_at.desc()).limit(1))).scalar_one_or_none()


async def revoke_family(connection: AsyncConnection, family_id: str) -> None:
    """Revokes all tokens of a login, and waits for a refresh under way, whose new token it then revokes too."""
    await connection.execute(select(_lock(family_id)))
    statement = update(RefreshToken).where(RefreshToken.family_id == family_id, RefreshToken.revoked_at.is_(None))
    await connection.execute(statement.values(revoked_at=func.clock_timestamp()))


def _lock(family_id: Any) -> Function[Any]:
    """One lock a login: locks of its rows, which come and go, would have to be taken in one order by everybody."""
    return func.pg_advisory_xact_lock(func.hashtextextended(cast(family_id, Text), 0))
