"""Sends an example of an event on request, outside the queue: nothing is recorded, and nobody's health changes."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import uuid4

from libs.common.bus.base import Caller
from libs.common.contracts.registry import Registry
from libs.common.contracts.webhooks import SendTest, Subscription, Tested
from libs.common.contracts.webhooks.examples import example_body
from libs.common.contracts.webhooks.ping import NAME as PING
from libs.common.db.engine import Database
from libs.common.db.sealing import Sealer
from libs.common.errors import UNAVAILABLE, PresenceError
from services.webhook_dispatcher import signing
from services.webhook_dispatcher.pings import pings_repository as pings
from services.webhook_dispatcher.pings.ping import Asked, ping
from services.webhook_dispatcher.posting.slots import Slots, holder_of
from services.webhook_dispatcher.sender import Answer, Sender
from services.webhook_dispatcher.subscriptions import subscriptions_repository as repository
from services.webhook_dispatcher.subscriptions.ownership import Ownership, Rights

MOST_TRIALS = 16  # that one process has under way


class TrialHandlers:
    """No connection to the database is held while an endpoint thinks."""

    def __init__(
        self,
        database: Database,
        reads: Database,
        registry: Registry,
        sender: Sender,
        sealer: Sealer,
        slots: Slots,
        ownership: Ownership,
        rights: Rights,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._reads = reads
        self._registry = registry
        self._sender = sender
        self._sealer = sealer
        self._slots = slots
        self._ownership = ownership
        self._rights = rights
        self._clock = clock
        self._under_way = 0

    async def send_test(self, caller: Caller, request: SendTest) -> Tested:
        """Sends an example to the URL of a subscription, active or not; a ping where it is unverified.

        Raises `not_found`, `invalid_input`, and `unavailable` while too many are under way, of all or to that host.
        """
        if request.event is not None:
            self._rights.known([request.event])
        async with self._reads.read() as connection:
            stored = await self._ownership.own(connection, caller.identity, request.id)
            row = await repository.secrets(connection, stored.id)
            asked = await pings.asked(connection, stored.id)
        with self._slot(stored):
            if asked is not None:
                return await self._ping(asked)
            event = request.event or stored.events[0]
            webhook_id = f"msg_test_{uuid4().hex}"
            keys = [self._sealer.open(sealed, stored.id) for sealed in row.live(self._clock())]
            answer = await self._send(stored, event, webhook_id, keys)
        return Tested(webhook_id, event, answer.status_code, answer.duration_ms, answer.error, answer.excerpt)

    @contextlib.contextmanager
    def _slot(self, stored: Subscription) -> Iterator[None]:
        """Holds a slot, as a delivery does. Raises `unavailable` where there is none."""
        if self._under_way >= MOST_TRIALS:
            raise PresenceError(UNAVAILABLE, "Too many tests are under way; try again in a moment.")
        holder = holder_of(stored.id, stored.created_by, stored.webhook_url)
        if not self._slots.try_take(holder):
            raise PresenceError(UNAVAILABLE, "Too much is being sent to that host; try again in a moment.")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._slots.give_back(holder)

    async def _ping(self, asked: Asked) -> Tested:
        """Asks a URL that has not said yet that it wants webhooks: nothing else is sent there before. A yes counts."""
        pinged = await ping(self._sender, self._sealer, asked, self._clock())
        if pinged.error is None:
            async with self._database.transaction() as connection:
                await pings.verify(connection, asked)
        answer = pinged.answer
        return Tested(pinged.webhook_id, PING, answer.status_code, answer.duration_ms, pinged.error, answer.excerpt)

    async def _send(self, stored: Subscription, event: str, webhook_id: str, keys: list[bytes]) -> Answer:
        body = example_body(self._registry, event, webhook_id=webhook_id, space=(stored.space_type, stored.space_id))
        headers = signing.headers(keys, webhook_id, body, self._clock())
        return await self._sender.post(stored.webhook_url, body, headers)
