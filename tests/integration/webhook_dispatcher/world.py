"""One dispatcher on a real database and the memory bus, with what a test needs to move it."""

import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, text

from libs.common.bus.base import Bus, Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.clock import now
from libs.common.contracts import webhooks
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Operation, Registry
from libs.common.contracts.webhooks import Delivery, ListDeliveries, NewSubscription, Subscribe
from libs.common.db.engine import Database
from libs.common.db.models.event_log import EventLogRow
from libs.common.identity import Identity
from libs.common.ids import new_id
from services.webhook_dispatcher.app import build
from services.webhook_dispatcher.settings import Settings
from tests.support.waiting import eventually

POST = "alice/my-360-photo"  # alice's, public
MODERATOR = (  # bob, of alice's post
    "INSERT INTO space_roles (space_type, space_id, account, role, given_by)"
    f" VALUES ('post', '{POST}', 'bob', 'moderator', 'alice')"
)
PRIVATE = "123"  # bob's document; alice may comment


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = now()

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **span: float) -> None:
        self.moment += timedelta(**span)


def settings_for(database_url: str, **changes: Any) -> Settings:
    """Defaults, but that loopback may be sent to, and is not asked before."""
    defaults = {name: spec.metadata["default"] for name, spec in Settings.__dataclass_fields__.items()}
    defaults |= {
        "database_url": database_url,
        "secret_key": base64.b64encode(bytes(32)).decode(),
        "operators": ("olivia",),
        "webhook_allowed_networks": ("127.0.0.0/8",),
        "webhook_ping": False,
    }
    return Settings(**{**defaults, **changes})


@dataclass
class World:
    """`bus` is the other services' side of the bus; `owner` a connection that may write any table."""

    settings: Settings
    broker: MemoryBroker
    bus: Bus
    owner: Database
    clock: Clock

    @contextlib.asynccontextmanager
    async def dispatcher(self, registry: Registry | None = None, **changes: Any) -> AsyncIterator[None]:
        """A running dispatcher; several may run side by side. With `drain_seconds=0` it ends as if killed."""
        settings = settings_for(self.settings.database_url, **changes)
        service = build(settings, MemoryBus(self.broker), registry=registry, clock=self.clock)
        await service.start()
        try:
            yield
        finally:
            await service.stop(settings.drain_seconds)

    async def subscribe(self, url: str, *, account: str = "carol", **changes: Any) -> NewSubscription:
        request = {"space_type": "post", "space_id": POST, "webhook_url": url, "events": ["chat"], **changes}
        return await self.bus.call(webhooks.subscribe, Subscribe(**request), caller(account))

    async def deliveries(self, subscription_id: str, account: str = "carol") -> list[Delivery]:
        request = ListDeliveries(subscription_id)
        return (await self.bus.call(webhooks.list_deliveries, request, caller(account))).deliveries

    async def delivery_of(self, subscription_id: str, account: str) -> Delivery:
        """The first that the subscription's owner sees delivered."""

        async def found() -> Delivery | None:
            deliveries = await self.deliveries(subscription_id, account)
            return next((one for one in deliveries if one.status == "delivered"), None)

        delivery: Delivery = await eventually(found)
        return delivery

    async def delivery_in(self, status: str, subscription_id: str, *, attempts: int = 0) -> Delivery:
        """A delivery of the subscription, as soon as one is in `status` after so many attempts."""

        async def found() -> Delivery | None:
            for delivery in await self.deliveries(subscription_id):
                if delivery.status == status and delivery.attempts >= attempts:
                    return delivery
            return None

        delivery: Delivery = await eventually(found)
        return delivery

    async def do(self, operation: Operation[Any, Any], account: str = "carol", **fields: Any) -> Any:
        """What `account` is answered."""
        return await self.bus.call(operation, operation.request(**fields), caller(account))

    async def log(self, event: LoggedEvent, subject: str | None = None) -> None:
        """Writes an event into the log, as the service that it comes from does."""
        async with self.owner.transaction() as connection:
            row = {name: value for name, value in asdict(event).items() if name in EventLogRow.__table__.columns}
            await connection.execute(insert(EventLogRow).values(**row, subject=subject))

    async def sql(self, statement: str, **values: Any) -> Any:
        """Run a statement as the database's owner; its rows, if it has any."""
        async with self.owner.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return result.all() if result.returns_rows else []


def caller(account: str, *, operator: bool = False) -> Caller:
    return Caller(Identity("account", account, account, operator=operator), "request-1")


def message_posted(text: str = "Hello from VR!", **changes: Any) -> LoggedEvent:
    """`chat.message_posted` as the log publishes it; `changes` are of the event."""
    payload = {"id": new_id(), "content": text, "user_account": "alice", "subspace": "main", "message_type": "text"}
    defaults: dict[str, Any] = {
        "id": new_id(),
        "name": "chat.message_posted",
        "space_type": "post",
        "space_id": POST,
        "subspace": "main",
        "seq": 7,
        "actor": "account:alice",
        "occurred_at": now(),
        "payload": payload,
        "request_id": "request-1",
    }
    return LoggedEvent(**{**defaults, **changes})


@contextlib.asynccontextmanager
async def new_world(database_url: str) -> AsyncIterator[World]:
    """A world with a public post and a private document, and no dispatcher yet."""
    broker, owner = MemoryBroker(), Database(database_url, None, 2)
    world = World(settings_for(database_url), broker, MemoryBus(broker), owner, Clock())
    await world.sql(
        "INSERT INTO posts (author, permlink, type, row_hash) VALUES ('alice', 'my-360-photo', '360', 'x'),"
        " ('bob', 'sculpture-hall', 'art', 'x')"
    )
    await world.sql(
        "INSERT INTO collaboration_documents (space_id, creator, is_public, row_hash) VALUES ('123', 'bob', false, 'x')"
    )
    await world.sql(
        "INSERT INTO collaboration_permissions (space_id, account, permission, row_hash)"
        " VALUES ('123', 'alice', 'comment', 'x')"
    )
    try:
        yield world
    finally:
        await owner.stop()
