"""Refresh tokens: each is used once, but may be shown again for a moment, and whoever does so later has stolen it.

Two tabs renew at once; a phone loses the answer and asks again. Both show the token that was used a moment ago, and
both get what it was exchanged for. Its successor is not kept for that: it is an HMAC of the token under our secret, and
made again, while the database holds hashes only.

Between a use and its repetition lie at most `PRESENCE_REFRESH_REPEAT_SECONDS`. An outage does not count, nor several
in a row: for tokens that were used shortly before the last sign of life before a process began, that time begins again
with the process.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

import structlog
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.db.engine import Database
from libs.common.ids import made_at
from services.spaces_auth.login import refresh_tokens_repository as repository
from services.spaces_auth.settings import Settings

_log = structlog.get_logger(__name__)
SHORTLY = timedelta(minutes=5)  # before an outage: whoever used a token then may have asked again in vain ever since


class Use(Enum):
    """What the showing of a refresh token is."""

    GOOD = auto()  # the first use, or the same again within the time for that
    REFUSED = auto()  # unknown, run out, or overtaken: no sign of a theft
    THEFT = auto()  # somebody else has used it, or its login has ended


@dataclass(frozen=True, slots=True)
class Shown:
    """The outcome. `account` and `family_id` are of the login, unless the token is unknown or has run out."""

    use: Use
    successor: str
    account: str = ""
    family_id: str = ""


class Refreshes:
    """Makes refresh tokens and exchanges them."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._secret = base64.b64decode(settings.secret_key)
        self._life = timedelta(seconds=settings.refresh_seconds)
        self._repeat = timedelta(seconds=settings.refresh_repeat_seconds)
        self._began = now()
        self._last_before: datetime | None = None  # sign of life, before this process began

    async def begin(self, account: str, family_id: str) -> str:
        """Returns the first refresh token of a new login."""
        token = secrets.token_urlsafe(32)
        async with self._database.transaction() as connection:
            await self._add(connection, token, account, family_id)
        return token

    async def exchange(self, token: str, request_id: str) -> Shown:
        """Returns the token's successor, where it is good. A theft has ended the login when this returns.

        Token and successor change hands in one transaction: one of the two can be used, whatever fails.
        """
        successor = self._successor(token)
        async with self._database.transaction() as connection:
            await self._remember_last(connection)
            family_id = await repository.lock_family_of(connection, _hash(token))
            row = await repository.find(connection, _hash(token), _hash(successor)) if family_id else None
            if family_id is None or row is None:
                return Shown(Use.REFUSED, successor)
            use = self._judge(row, made_at(request_id))
            if use is Use.GOOD and row.used_at is None:
                await repository.mark_used(connection, _hash(token))
                await self._add(connection, successor, row.account, family_id)
            elif use is Use.THEFT:
                _note_theft(family_id, row, request_id)
                await repository.revoke_family(connection, family_id)
            return Shown(use, successor, row.account, family_id)

    async def end(self, family_id: str) -> None:
        """Revokes all refresh tokens of a login."""
        async with self._database.transaction() as connection:
            await repository.revoke_family(connection, family_id)

    def _judge(self, row: Row[Any], asked_at: datetime | None) -> Use:
        if row.revoked_at is not None:
            return Use.THEFT
        if row.used_at is None:
            return Use.GOOD
        if row.successor_used_at is not None:
            # The bus may bring a request again: one from before that moment is late, and no second one.
            return Use.REFUSED if asked_at and asked_at <= row.successor_used_at else Use.THEFT
        if not self._may_repeat(row.used_at, row.seen_at):
            return Use.THEFT
        # Without a successor, the token was exchanged under another PRESENCE_SECRET_KEY: for what, nobody knows.
        return Use.GOOD if row.has_successor else Use.REFUSED

    def _may_repeat(self, used_at: datetime, seen_at: datetime) -> bool:
        if seen_at - used_at <= self._repeat:
            return True
        in_vain = self._last_before is not None and used_at >= self._last_before - SHORTLY
        return in_vain and now() - self._began <= self._repeat

    async def _remember_last(self, connection: AsyncConnection) -> None:
        if self._last_before is None:
            self._last_before = await repository.newest(connection, self._began)

    async def _add(self, connection: AsyncConnection, token: str, account: str, family_id: str) -> None:
        await repository.add_refresh_token(connection, _hash(token), family_id, account, now() + self._life)

    def _successor(self, token: str) -> str:
        """Returns the refresh token that follows one; only the secret yields it."""
        digest = hmac.digest(self._secret, f"refresh {token}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _note_theft(family_id: str, row: Row[Any], request_id: str) -> None:
    moments = {"used_at": row.used_at, "successor_used_at": row.successor_used_at, "revoked_at": row.revoked_at}
    said = {name: str(moment) for name, moment in moments.items() if moment}
    _log.warning("a refresh token came again", login_id=family_id, account=row.account, request_id=request_id, **said)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
