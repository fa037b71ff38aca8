"""Sends an example of an event on request, outside the queue: nothing is recorded, and nobody's health changes."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from libs.common.bus.base import Caller
from libs.common.contracts.registry import Registry
from libs.common.contracts.webhooks import SendTest, Subscription, Tested
from libs.common.contracts.webhooks.examples import example_body
from libs.common.db.engine import Database
from libs.common.db.sealing import Sealer
from libs.common.errors import UNAVAILABLE, PresenceError
from services.webhook_dispatcher import signing
from services.webhook_dispatcher.sender import Answer, Sender
from services.webhook_dispatcher.subscriptions import subscriptions_repository as repository
from services.webhook_dispatcher.subscriptions.ownership import Ownership, Rights

MOST_TRIALS = 16  # that one process has under way


class TrialHandlers:
    """No connection to the database is held while an endpoint thinks."""

    def __init__(
        self,
        reads: Database,
        registry: Registry,
        sender: Sender,
        sealer: Sealer,
        ownership: Ownership,
        rights: Rights,
        clock: Callable[[], datetime],
    ) -> None:
        self._reads = reads
        self._registry = registry
        self._sender = sender
        self._sealer = sealer
        self._ownership = ownership
        self._rights = rights
        self._clock = clock
        self._free = asyncio.Semaphore(MOST_TRIALS)

    async def send_test(self, caller: Caller, request: SendTest) -> Tested:
        """Sends an example to the URL of a subscription, active or not. Raises `not_found`, `invalid_input`, and
        `unavailable` while too many are under way."""
        if request.event is not None:
            self._rights.known([request.event])
        if self._free.locked():
            raise PresenceError(UNAVAILABLE, "Too many tests are under way; try again in a moment.")
        async with self._free:
            async with self._reads.read() as connection:
                stored = await self._ownership.own(connection, caller.identity, request.id)
                row = await repository.secrets(connection, stored.id)
            event = request.event or stored.events[0]
            webhook_id = f"msg_test_{uuid4().hex}"
            keys = [self._sealer.open(sealed, stored.id) for sealed in row.live(self._clock())]
            answer = await self._send(stored, event, webhook_id, keys)
        return Tested(webhook_id, event, answer.status_code, answer.duration_ms, answer.error, answer.excerpt)

    async def _send(self, stored: Subscription, event: str, webhook_id: str, keys: list[bytes]) -> Answer:
        body = example_body(self._registry, event, webhook_id=webhook_id, space=(stored.space_type, stored.space_id))
        headers = signing.headers(keys, webhook_id, body, self._clock())
        return await self._sender.post(stored.webhook_url, body, headers)
