"""Old deliveries and inbox marks are deleted, and nothing else."""

from datetime import timedelta

import pytest

from libs.common.db import pruning
from libs.common.db.engine import Database
from libs.common.ids import new_id
from services.webhook_dispatcher.retention import Pruner
from tests.integration.webhook_dispatcher.world import World

INSERT = """
INSERT INTO webhook_deliveries
  (id, subscription_id, event_id, webhook_id, event, sequence, body, actor, status, next_attempt_at, finished_at)
VALUES (:id, :subscription, :event, :label, 'chat', 1, '', 'account:alice', :status, :next, :finished)
"""


async def test_deliveries_that_finished_a_month_ago_are_deleted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    async with world.dispatcher():
        subscription = (await world.subscribe("https://myapp.example/webhook")).subscription.id
    moment = world.clock()
    for label, status, age in [
        *((f"old {n}", "delivered", 31) for n in range(5)),
        ("recent", "delivered", 29),
        ("old and dead", "dead", 31),
        ("not finished", "pending", None),
    ]:
        await world.sql(
            INSERT,
            id=new_id(),
            subscription=subscription,
            event=new_id(),
            label=label,
            status=status,
            next=moment if status == "pending" else None,
            finished=moment - timedelta(days=age) if age else None,
        )
    await world.sql("INSERT INTO inbox VALUES ('webhook_dispatcher', :id, now() - interval '8 days')", id=new_id())
    await world.sql("INSERT INTO inbox VALUES ('webhook_dispatcher', :id, now())", id=new_id())

    database = Database(world.settings.database_url, "webhook_dispatcher", 1)
    await Pruner(database, world.clock).prune()
    await database.stop()

    left = {row.webhook_id for row in await world.sql("SELECT webhook_id FROM webhook_deliveries")}
    assert left == {"recent", "not finished"}
    assert len(await world.sql("SELECT 1 FROM inbox")) == 1
