"""SQL of pruning: each function deletes the rows of one table that ended before a moment."""

from datetime import datetime

from sqlalchemy import delete, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.auth import RefreshToken
from libs.common.db.models.spaces import PresenceSession, SpaceActivity, SpaceRemoval, WebrtcReport


async def delete_stays(connection: AsyncConnection, before: datetime) -> None:
    """Deletes stays that ended, or were last heard of, before the moment."""
    ended = or_(
        PresenceSession.left_at < before,
        PresenceSession.left_at.is_(None) & (PresenceSession.last_activity < before),
    )
    await connection.execute(delete(PresenceSession).where(ended))


async def delete_removals(connection: AsyncConnection, before: datetime) -> None:
    await connection.execute(delete(SpaceRemoval).where(SpaceRemoval.created_at < before))


async def delete_activity(connection: AsyncConnection, before: datetime) -> None:
    await connection.execute(delete(SpaceActivity).where(SpaceActivity.occurred_at < before))


async def delete_reports(connection: AsyncConnection, before: datetime) -> None:
    await connection.execute(delete(WebrtcReport).where(WebrtcReport.created_at < before))


async def delete_refresh_tokens(connection: AsyncConnection, before: datetime) -> None:
    """Deletes refresh tokens that ran out before the moment."""
    await connection.execute(delete(RefreshToken).where(RefreshToken.expires_at < before))
