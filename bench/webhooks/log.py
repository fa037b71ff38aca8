"""How long a page of the log takes with 30 days and very many deliveries in it, beside one with a thousand."""

import statistics
import time
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from bench.webhooks.dispatcher import Lab, head, lab, row
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts import webhooks
from libs.common.contracts.webhooks import GetDelivery, ListDeliveries, SubscriptionId
from libs.common.identity import Identity
from tests.support.servers import Servers

FEW, DELIVERIES = 1_000, 1_000_000
DAYS = timedelta(days=30)
GOAL = 100.0  # ms
TIMES = 9  # of which the middle one is shown
# Identifiers as ours are: the first 48 bits are the time in milliseconds. One of 500 is dead, one of 1,000 of another
# event.
_FILL = text("""
INSERT INTO webhook_deliveries (id, subscription_id, event_id, webhook_id, event, sequence, body, actor, status,
  attempts, last_status_code, created_at, finished_at)
SELECT CAST(lpad(to_hex(CAST(extract(epoch FROM made.at) * 1000 AS bigint)), 12, '0') || '7' || substr(made.h, 1, 3)
    || '8' || substr(made.h, 4, 15) AS uuid), :subscription, gen_random_uuid(), 'msg_' || n,
  CASE WHEN n % 1000 = 0 THEN 'reaction' ELSE 'chat' END, n, convert_to(repeat('x', 500), 'UTF8'), 'account:alice',
  CASE WHEN n % 500 = 0 THEN 'dead' ELSE 'delivered' END, 1, 200, made.at, made.at
FROM generate_series(1, CAST(:count AS int)) n,
  LATERAL (SELECT now() - CAST(:days AS interval) * n / :count AS at, md5(CAST(n AS text)) AS h) made
""")


async def log(servers: Servers, deliveries: int = DELIVERIES) -> None:
    print(f"\n## A page of the log, with 30 days and {deliveries:,} deliveries in it; goal: {GOAL:g} ms\n")
    head("page", f"ms with {FEW:,}", f"ms with {deliveries:,}", "times as long", "goal")
    async with lab(servers) as made:
        few, many = [await _filled(made, kind, count) for kind, count in (("few", FEW), ("many", deliveries))]
        for name in few:
            row(name, f"{few[name]:.1f}", f"{many[name]:.1f}", f"{many[name] / few[name]:.1f}", _goal(many[name]))


def _goal(milliseconds: float) -> str:
    return "" if milliseconds < GOAL else "missed"


async def _filled(made: Lab, kind: str, count: int) -> dict[str, float]:
    """Returns the milliseconds of each page, with so many deliveries of a subscription."""
    await made.subscribe(kind, 1)
    async with made.owner.transaction() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        found = text("SELECT id, created_by FROM webhook_subscriptions WHERE webhook_url LIKE :url")
        subscription = (await connection.execute(found, {"url": f"%/{kind}/%"})).one()
        await connection.execute(_FILL, {"subscription": subscription.id, "days": DAYS, "count": count})
        await connection.execute(text("ANALYZE webhook_deliveries"))
    caller = Caller(Identity("account", subscription.created_by, subscription.created_by), "bench")
    return await _pages(made, str(subscription.id), caller)


async def _pages(made: Lab, id: str, caller: Caller) -> dict[str, float]:
    async def took(operation: Any, request: Any) -> float:
        began = time.perf_counter()
        await made.gateway.call(operation, request, caller)
        return (time.perf_counter() - began) * 1000

    middle, cut = now() - DAYS / 2, timedelta(hours=12)
    first = await made.gateway.call(webhooks.list_deliveries, ListDeliveries(id), caller)
    old = ListDeliveries(id, until=middle)
    deep = await made.gateway.call(webhooks.list_deliveries, old, caller)
    asked = {
        "the newest": (webhooks.list_deliveries, ListDeliveries(id)),
        "the next": (webhooks.list_deliveries, ListDeliveries(id, cursor=first.next_cursor)),
        "of 15 days ago": (webhooks.list_deliveries, old),
        "the one after it": (webhooks.list_deliveries, ListDeliveries(id, until=middle, cursor=deep.next_cursor)),
        "dead": (webhooks.list_deliveries, ListDeliveries(id, status="dead")),
        "pending, of which there are none": (webhooks.list_deliveries, ListDeliveries(id, status="pending")),
        "of a rare event": (webhooks.list_deliveries, ListDeliveries(id, event="reaction")),
        "of a rare event, dead": (webhooks.list_deliveries, ListDeliveries(id, event="reaction", status="dead")),
        "of half a day": (webhooks.list_deliveries, ListDeliveries(id, since=middle - cut, until=middle)),
        "one delivery": (webhooks.get_delivery, GetDelivery(id, first.deliveries[0].id)),
        "counts of 24 hours": (webhooks.count_deliveries, SubscriptionId(id)),
    }
    return {
        name: statistics.median([await took(operation, request) for _ in range(TIMES)])
        for name, (operation, request) in asked.items()
    }
