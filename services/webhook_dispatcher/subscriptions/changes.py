"""Changes a subscription that exists, which keeps its id, its secrets and its history."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.bus.base import Caller
from libs.common.contracts.webhooks import ChangeSubscription, RotateSecret, SecretRotated, Subscription
from libs.common.db.engine import Database
from libs.common.db.models.webhooks import WebhookSubscription as S
from libs.common.db.sealing import Sealer
from libs.common.errors import CONFLICT, INVALID_INPUT, PresenceError
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher import signing
from services.webhook_dispatcher.guard import WebhookGuard
from services.webhook_dispatcher.health.health_repository import HEALTHY
from services.webhook_dispatcher.pings.pings_repository import VERIFIED, unverified
from services.webhook_dispatcher.settings import Settings
from services.webhook_dispatcher.subscriptions import subscriptions_repository as repository
from services.webhook_dispatcher.subscriptions.handlers import SECRET_SHOWN, require_another
from services.webhook_dispatcher.subscriptions.ownership import Ownership, Rights, owner_of

type Changes = dict[str, Any]
ANOTHER: Changes = {**HEALTHY, "is_probed": False, "paused_until": None, "waiting_since": None}
"""The columns of a subscription whose endpoint nothing is known of."""
PAUSED: Changes = {"paused": True, "active": False, "ping_at": None}
RESUMED: Changes = {"paused": False, "disabled_reason": None, "is_given_up": False, **ANOTHER}


@dataclass(frozen=True, slots=True)
class Asking:
    """Whether another URL is asked if it wants webhooks, at once."""

    is_on: bool
    moment: datetime

    def columns(self, *, is_wanted: bool) -> Changes:
        """Returns the columns of a subscription with another URL; `is_wanted` is whether it is to work."""
        if self.is_on:
            return unverified(self.moment, is_wanted=is_wanted)
        return {**VERIFIED, "active": is_wanted}


class ChangeHandlers:
    """What changes is locked; `wake` is called when there may be something to send."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        guard: WebhookGuard,
        ownership: Ownership,
        rights: Rights,
        settings: Settings,
        wake: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._guard = guard
        self._ownership = ownership
        self._rights = rights
        self._pings = settings.webhook_ping
        self._wake = wake
        self._clock = clock

    async def change(self, caller: Caller, request: ChangeSubscription) -> Subscription:
        """Changes what the request names. Raises `not_found`, `invalid_input`, `conflict` as `subscribe` does, and the
        errors of the space's policy unless it only pauses."""
        if request.webhook_url is not None:
            await self._guard.check(request.webhook_url)
        events = None if request.events is None else self._rights.known(request.events)
        async with self._database.transaction() as connection:
            seen = await self._ownership.own(connection, caller.identity, request.id)
            await repository.lock_account(connection, seen.created_by)
            stored = await self._ownership.own(connection, caller.identity, request.id, lock=True)
            changes = _changes(stored, request, events, Asking(self._pings, self._clock()))
            if not changes:
                return stored
            if changes.keys() != PAUSED.keys():
                space = SpaceKey(stored.space_type, stored.space_id)
                await self._rights.require(connection, owner_of(stored), space, changes.get("events", stored.events))
            if "webhook_url" in changes:
                await _require_no_twin(connection, stored, changes["webhook_url"])
            changed = await repository.change(connection, stored.id, changes)
        self._wake()
        return changed

    async def rotate(self, caller: Caller, request: RotateSecret) -> SecretRotated:
        """Gives a subscription another secret. A repeated `client_message_id` changes nothing, and shows a secret of
        ours for ten minutes. Raises `not_found`, `invalid_input` for the secret that it has, and `conflict`."""
        moment = self._clock()
        key = signing.key_of(request.secret or signing.make_secret())
        async with self._database.transaction() as connection:
            stored = await self._ownership.own(connection, caller.identity, request.id, lock=True)
            row = await repository.secrets(connection, stored.id)
            present = self._sealer.open(row.secret_sealed, stored.id)
            if row.rotation_id is not None and row.rotation_id == request.client_message_id and row.rotated_at:
                _require_same(request, present)
                is_shown = request.secret is None and moment - row.rotated_at < SECRET_SHOWN
                return SecretRotated(stored, signing.secret_of(present) if is_shown else None)
            if key == present:
                text = "That is the secret it has."
                raise PresenceError(INVALID_INPUT, f"secret: {text}", {"fields": {"secret": [text]}})
            overlap = timedelta(seconds=request.overlap_seconds)
            changes = {
                "secret_sealed": self._sealer.seal(key, stored.id),
                "previous_secret_sealed": row.secret_sealed if overlap else None,
                "previous_secret_until": moment + overlap if overlap else None,
                "rotation_id": request.client_message_id,
                "rotated_at": moment,
            }
            changed = await repository.change(connection, stored.id, changes)
        return SecretRotated(changed, None if request.secret else signing.secret_of(key))


def _changes(stored: Subscription, request: ChangeSubscription, events: list[str] | None, asking: Asking) -> Changes:
    """Returns the columns that the request changes."""
    changes: Changes = {}
    if events is not None and events != stored.events:
        changes["events"] = events
    if request.paused and not stored.paused:
        changes |= PAUSED
    is_resumed = request.paused is False and stored.state in ("paused", "disabled")
    if is_resumed:
        changes |= {**RESUMED, "active": ~S.unverified, "ping_at": case((S.unverified, asking.moment)), "pings": 0}
    if request.webhook_url not in (None, stored.webhook_url):
        is_wanted = is_resumed or (stored.state in ("active", "unverified") and not request.paused)
        changes |= {"webhook_url": request.webhook_url, **ANOTHER, **asking.columns(is_wanted=is_wanted)}
    return changes


async def _require_no_twin(connection: AsyncConnection, stored: Subscription, url: str) -> None:
    draft = {
        "created_by": stored.created_by,
        "space_type": stored.space_type,
        "space_id": stored.space_id,
        "webhook_url": url,
    }
    await require_another(connection, draft)


def _require_same(request: RotateSecret, present: bytes) -> None:
    """Raises `conflict` for a repeated key of idempotency with another secret."""
    if request.secret is not None and signing.key_of(request.secret) != present:
        raise PresenceError(CONFLICT, "This client_message_id stands for another secret.", {"id": request.id})
