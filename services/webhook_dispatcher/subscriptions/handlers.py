"""Makes, shows and ends subscriptions."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.bus.base import Caller
from libs.common.contracts.auth import Empty
from libs.common.contracts.webhooks import (
    ListSubscriptions,
    NewSubscription,
    Subscribe,
    Subscription,
    SubscriptionId,
    Subscriptions,
)
from libs.common.db.engine import Database
from libs.common.db.sealing import Sealer
from libs.common.errors import CONFLICT, PresenceError
from libs.common.identity import Identity
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher import signing
from services.webhook_dispatcher.guard import WebhookGuard
from services.webhook_dispatcher.health.health import tell_of
from services.webhook_dispatcher.pings.pings_repository import unverified
from services.webhook_dispatcher.settings import Settings
from services.webhook_dispatcher.subscriptions import subscriptions_repository as repository
from services.webhook_dispatcher.subscriptions.ownership import Ownership, Rights, account_of
from services.webhook_dispatcher.subscriptions.subscriptions_repository import Filter

SECRET_SHOWN = timedelta(minutes=10)  # after a subscription was made: for a retry whose first answer was lost


class WebhookHandlers:
    """One method an operation. A subscription belongs to the account that made it. `ask` is called when there may be
    a URL to ping."""

    def __init__(
        self,
        database: Database,
        reads: Database,
        sealer: Sealer,
        guard: WebhookGuard,
        ownership: Ownership,
        rights: Rights,
        settings: Settings,
        ask: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._reads = reads
        self._sealer = sealer
        self._guard = guard
        self._ownership = ownership
        self._rights = rights
        self._settings = settings
        self._ask = ask
        self._clock = clock

    async def subscribe(self, caller: Caller, request: Subscribe) -> NewSubscription:
        """Stores a subscription. A repeated `client_message_id` returns the first one, its secret for ten minutes only.

        Raises `invalid_input`, the errors of the space's policy, and `conflict` when the quota is used up, for another
        subscription of the same space and URL, or for a `client_message_id` that was used for something else.
        """
        space = SpaceKey.parse(request.space_type, request.space_id)
        account = account_of(caller.identity)
        draft = self._draft(space, account, request)
        await self._guard.check(request.webhook_url)
        async with self._database.transaction() as connection:
            await self._rights.require(connection, caller.identity, space, draft["events"], caller.address)
            await repository.lock_account(connection, account)
            stored = await repository.by_client_id(connection, account, request.client_message_id)
            is_new = stored is None
            if stored is None:
                await self._require_quota(connection, caller.identity, account)
                await require_another(connection, draft)
                stored = await repository.insert_subscription(connection, draft)
            sealed = await repository.sealed_secret(connection, stored.id)
        self._ask()
        key = self._sealer.open(sealed, stored.id)
        _require_same(stored, draft, request.secret, key)
        is_shown = request.secret is None and (is_new or self._clock() - stored.created_at < SECRET_SHOWN)
        return NewSubscription(stored, signing.secret_of(key) if is_shown else None)

    def _draft(self, space: SpaceKey, account: str, request: Subscribe) -> dict[str, Any]:
        """Returns the row of a new subscription. Raises `invalid_input`."""
        subscription_id = new_id()
        key = signing.key_of(request.secret or signing.make_secret())
        return {
            "id": subscription_id,
            "space_type": space.space_type,
            "space_id": space.space_id,
            "webhook_url": request.webhook_url,
            "events": self._rights.known(request.events),
            "secret_sealed": self._sealer.seal(key, subscription_id),
            "created_by": account,
            "client_message_id": request.client_message_id,
            **(unverified(self._clock(), is_wanted=True) if self._settings.webhook_ping else {}),
        }

    async def _require_quota(self, connection: AsyncConnection, identity: Identity, account: str) -> None:
        """Raises `conflict` for an account that has as many subscriptions as it may; operators have no limit."""
        limit = self._settings.webhook_subscriptions
        if self._ownership.is_operator(identity) or await repository.count_subscriptions(connection, account) < limit:
            return
        raise PresenceError(CONFLICT, f"You have {limit} webhooks, the most there may be.", {"limit": limit})

    async def list_subscriptions(self, caller: Caller, request: ListSubscriptions) -> Subscriptions:
        """Returns the caller's subscriptions, newest first, or those of a space; everybody's for an operator.

        Raises the errors of the space's policy for who does not moderate it.
        """
        is_operator = self._ownership.is_operator(caller.identity)
        account = None if is_operator or request.space else account_of(caller.identity)
        if request.owner is not None and account not in (None, request.owner):
            return Subscriptions([])
        space = SpaceKey.parse(*request.space.split(":", 1)) if request.space else None
        asked = Filter(request.owner or account, space, request.host, request.failing)
        async with self._reads.read() as connection:
            if space is not None:
                await self._ownership.require_moderator(connection, caller, space)
            found = await repository.subscriptions(connection, asked)
        return Subscriptions(found if is_operator else [_as_seen(one, caller.identity) for one in found])

    async def get_subscription(self, caller: Caller, request: SubscriptionId) -> Subscription:
        """Returns one subscription. Raises `not_found`."""
        async with self._reads.read() as connection:
            return await self._ownership.own(connection, caller.identity, request.id)

    async def unsubscribe(self, caller: Caller, request: SubscriptionId) -> Empty:
        """Removes a subscription with its pending deliveries. Whose it is is told if somebody else ends it. Raises
        `not_found`, and `forbidden` for a moderator who has no power over its owner."""
        async with self._database.transaction() as connection:
            stored = await self._ownership.endable(connection, caller, request.id)
            if stored.created_by != caller.identity.account:
                by = caller.identity.account or "an operator"
                said = f"was ended by {by}, who moderates {stored.space_type}:{stored.space_id}."
                await tell_of(connection, stored.id, said)
            await repository.delete_subscription(connection, stored.id)
        return Empty()


def _as_seen(stored: Subscription, identity: Identity) -> Subscription:
    """Returns a subscription as a moderator of its space sees it: the path of somebody's URL may be a secret."""
    if stored.created_by == identity.account:
        return stored
    url = urlsplit(stored.webhook_url)
    return replace(stored, webhook_url=f"{url.scheme}://{url.netloc}/")


async def require_another(connection: AsyncConnection, draft: Mapping[str, Any]) -> None:
    """Raises `conflict` where the account has a webhook of that space and URL: events are changed in the one it has."""
    if twin := await repository.twin(connection, draft):
        raise PresenceError(CONFLICT, "You have a webhook of this space with this URL already.", {"id": twin})


def _require_same(stored: Subscription, draft: Mapping[str, Any], secret: str | None, key: bytes) -> None:
    """Raises `conflict` for a repeated key of idempotency whose request is not the one that it stands for."""
    is_same = all(getattr(stored, name) == draft[name] for name in ("space_type", "space_id", "webhook_url"))
    if not is_same or {*stored.events} != {*draft["events"]} or (secret is not None and signing.key_of(secret) != key):
        raise PresenceError(CONFLICT, "This client_message_id stands for another request.", {"id": stored.id})
