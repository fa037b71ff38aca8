"""SQL on subscriptions, as their owners see and change them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.webhooks import Subscription
from libs.common.db.models.webhooks import WebhookSubscription as S
from libs.common.spaces import SpaceKey

MOST_LISTED = 1000  # only an operator can see more subscriptions than the quota allows

_STATE = case(
    (S.paused, "paused"),
    (S.disabled_reason.is_not(None), "disabled"),
    (S.unverified, "unverified"),
    else_="active",
)
_SHOWN = (
    S.id, S.space_type, S.space_id, S.webhook_url, S.events, S.active, S.disabled_reason, S.created_by, S.created_at,
    S.paused, S.failing_since, S.previous_secret_until, _STATE.label("state"), S.ping_at, S.ping_error, S.public_key,
)  # fmt: skip

_HOST: ColumnElement[str] = func.lower(func.substring(S.webhook_url, "^[A-Za-z]+://([^/:?#]+)"))


async def lock_account(connection: AsyncConnection, account: str) -> None:
    """Locks the account's subscriptions against other changes until the transaction ends."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"webhooks:{account}", 0))))


async def count_subscriptions(connection: AsyncConnection, account: str) -> int:
    statement = select(func.count()).where(S.created_by == account)
    return int((await connection.execute(statement)).scalar_one())


async def insert_subscription(connection: AsyncConnection, values: Mapping[str, Any]) -> Subscription:
    statement = pg_insert(S).values(**values).returning(*_SHOWN)
    return Subscription(**(await connection.execute(statement)).mappings().one())


async def subscription(connection: AsyncConnection, subscription_id: str, *, lock: bool = False) -> Subscription | None:
    """Returns a subscription, with `lock` against other changes until the transaction ends; None for an unknown id."""
    statement = select(*_SHOWN).where(S.id == subscription_id)
    if lock:
        statement = statement.with_for_update()
    row = (await connection.execute(statement)).mappings().one_or_none()
    return Subscription(**row) if row else None


async def by_client_id(connection: AsyncConnection, account: str, client_id: str | None) -> Subscription | None:
    """Returns the subscription that the account made with this client id, or None."""
    statement = select(*_SHOWN).where(S.created_by == account, S.client_message_id == client_id)
    row = (await connection.execute(statement)).mappings().one_or_none() if client_id else None
    return Subscription(**row) if row else None


async def twin(connection: AsyncConnection, draft: Mapping[str, Any]) -> str | None:
    """Returns the id of the account's subscription of the same space and URL, or None."""
    same = [getattr(S, name) == draft[name] for name in ("created_by", "space_type", "space_id", "webhook_url")]
    return (await connection.execute(select(S.id).where(*same).limit(1))).scalar_one_or_none()


async def sealed_secret(connection: AsyncConnection, subscription_id: str) -> bytes:
    return bytes((await connection.execute(select(S.secret_sealed).where(S.id == subscription_id))).scalar_one())


@dataclass(frozen=True, slots=True)
class Filter:
    """What a subscription must be to be in the list; None asks nothing."""

    account: str | None = None
    space: SpaceKey | None = None
    host: str | None = None
    failing: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        asked = (
            None if self.account is None else S.created_by == self.account,
            None if self.space is None else S.space_type == self.space.space_type,
            None if self.space is None else S.space_id == self.space.space_id,
            None if self.host is None else _HOST.in_([self.host.lower()]),
            S.failing_since.is_not(None) if self.failing else None,
        )
        return [condition for condition in asked if condition is not None]


async def subscriptions(connection: AsyncConnection, asked: Filter) -> list[Subscription]:
    """Returns subscriptions, newest first."""
    statement = select(*_SHOWN).where(*asked.conditions()).order_by(S.created_at.desc(), S.id).limit(MOST_LISTED)
    return [Subscription(**row) for row in (await connection.execute(statement)).mappings()]


async def delete_subscription(connection: AsyncConnection, subscription_id: str) -> None:
    """Deletes the subscription. Its deliveries are `orphaned`, and removed in batches after it."""
    await connection.execute(delete(S).where(S.id == subscription_id))


async def change(connection: AsyncConnection, subscription_id: str, values: Mapping[str, Any]) -> Subscription:
    """Sets columns of a subscription that is locked, and returns it."""
    statement = update(S).where(S.id == subscription_id).values(**values).returning(*_SHOWN)
    return Subscription(**(await connection.execute(statement)).mappings().one())


@dataclass(frozen=True, slots=True)
class Secrets:
    """The URL of a subscription, its sealed secrets, and what is known of their last rotation."""

    webhook_url: str
    secret_sealed: bytes
    previous_secret_sealed: bytes | None
    previous_secret_until: datetime | None
    signing_key_sealed: bytes | None
    rotation_id: str | None
    rotated_at: datetime | None


async def secrets(connection: AsyncConnection, subscription_id: str) -> Secrets:
    columns = [getattr(S, field.name) for field in fields(Secrets)]
    return Secrets(**(await connection.execute(select(*columns).where(S.id == subscription_id))).mappings().one())
