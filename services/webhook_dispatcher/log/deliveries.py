"""Shows what was sent to a subscription, and what came back."""

from libs.common.bus.base import Caller
from libs.common.contracts.webhooks import Deliveries, ListDeliveries
from libs.common.db import cursor
from libs.common.db.engine import Database
from services.webhook_dispatcher.log import log_repository as repository
from services.webhook_dispatcher.subscriptions.ownership import Ownership


class DeliveryHandlers:
    """For a subscription's owner, and operators."""

    def __init__(self, reads: Database, ownership: Ownership) -> None:
        self._reads = reads
        self._ownership = ownership

    async def list_deliveries(self, caller: Caller, request: ListDeliveries) -> Deliveries:
        """Returns a page, newest first. Raises `not_found`, `invalid_input` for a cursor that is not ours."""
        before = cursor.decode_id(request.cursor) if request.cursor else None
        async with self._reads.read() as connection:
            stored = await self._ownership.own(connection, caller.identity, request.id)
            page, more = await repository.page(connection, stored.id, before, request.limit)
        return Deliveries(page, cursor.encode(page[-1].id) if more else None)
