"""SQL on `refresh_tokens`. A family is all refresh tokens of one login."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.db.models.auth import RefreshToken


@dataclass(frozen=True, slots=True)
class UsedToken:
    """A refresh token at the moment of its use."""

    account: str
    family_id: str
    spent: bool  # used by another request before, or revoked


async def add_refresh_token(
    connection: AsyncConnection, token_hash: bytes, family_id: str, account: str, expires_at: datetime
) -> None:
    """Stores a token; one with that hash that is stored already stays as it is."""
    statement = insert(RefreshToken).values(
        token_hash=token_hash, family_id=family_id, account=account, expires_at=expires_at
    )
    await connection.execute(statement.on_conflict_do_nothing())


async def use_refresh_token(connection: AsyncConnection, token_hash: bytes, successor: bytes) -> UsedToken | None:
    """Marks the token used, under its row's lock; returns None for one that is unknown or has expired.

    `successor` is the hash of the token that this request gets in its place: if that is stored and not revoked, this
    same request was carried out before, and the use is no second one.
    """
    spent = RefreshToken.used_at.is_not(None) | RefreshToken.revoked_at.is_not(None)
    statement = select(RefreshToken.account, RefreshToken.family_id, spent.label("spent")).where(
        RefreshToken.token_hash == token_hash, RefreshToken.expires_at > now()
    )
    same_request = select(RefreshToken.family_id).where(
        RefreshToken.token_hash == successor, RefreshToken.revoked_at.is_(None)
    )
    row = (await connection.execute(statement.with_for_update())).one_or_none()
    if row is None:
        return None
    mark = update(RefreshToken).where(RefreshToken.token_hash == token_hash, RefreshToken.used_at.is_(None))
    await connection.execute(mark.values(used_at=now()))
    repeated = row.spent and (await connection.execute(same_request)).one_or_none() is not None  # seen under the lock
    return UsedToken(row.account, row.family_id, row.spent and not repeated)


async def revoke_family(connection: AsyncConnection, family_id: str) -> None:
    """Revokes all tokens of a login.

    It locks them first, and so waits for a refresh under way, whose new token it then revokes too.
    """
    family = select(RefreshToken.token_hash).where(RefreshToken.family_id == family_id)
    await connection.execute(family.order_by(RefreshToken.token_hash).with_for_update())
    statement = update(RefreshToken).where(RefreshToken.family_id == family_id, RefreshToken.revoked_at.is_(None))
    await connection.execute(statement.values(revoked_at=now()))
