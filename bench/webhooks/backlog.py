"""How soon the end of a subscription is obeyed with much pending for it."""

import asyncio
import time

from sqlalchemy import text

from bench.webhooks.dispatcher import Lab, head, lab, row
from libs.common.bus.base import Caller
from libs.common.contracts import webhooks
from libs.common.contracts.webhooks import ChangeSubscription, SubscriptionId
from libs.common.identity import Identity
from tests.support.servers import Servers
from tests.support.waiting import eventually

PENDING = 1_000_000
OBEYED = 5.0  # seconds
LONGEST = 1800.0  # seconds that anything may take
# Statistics of a log in which all was delivered: what is pending is nothing to them until the next ANALYZE.
_FORGET = text("""
INSERT INTO webhook_deliveries (id, subscription_id, event_id, webhook_id, event, sequence, body, actor, status)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'msg_' || n, 'chat', n, '{}', 'account:alice',
  'delivered' FROM generate_series(1, 10000) n
""")
_FILL = text("""
INSERT INTO webhook_deliveries (id, subscription_id, event_id, webhook_id, event, sequence, body, actor,
  next_attempt_at)
SELECT gen_random_uuid(), :subscription, gen_random_uuid(), 'msg_' || n, 'chat', n,
  convert_to(repeat('x', 100), 'UTF8'), 'account:alice', now() FROM generate_series(1, :count) n
""")
_HELD = """
UPDATE webhook_subscriptions SET active = true, paused = false, disabled_reason = NULL, is_given_up = false,
  paused_until = 'infinity' WHERE id = :id RETURNING 1
"""
_AT_OTHER = "UPDATE webhook_subscriptions SET webhook_url = replace(webhook_url, '/quick/', '/gone/') RETURNING 1"
_PERMLINK = "(SELECT split_part(space_id, '/', 2) FROM webhook_subscriptions WHERE id = :id)"
_POST = f"INSERT INTO posts (author, permlink, type, row_hash) VALUES ('author', {_PERMLINK}, 'art', 'x') RETURNING 1"
_PENDING = "SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'"


async def backlog(servers: Servers, pending: int = PENDING) -> None:
    """Ends a subscription in each way there is. What is obeyed is that no request begins any more."""
    print(f"\n## A subscription ends with {pending:,} deliveries pending; goal: obeyed within {OBEYED:g} s\n")
    head("how", "pending then", "obeyed after s", "goal", "requests")
    async with lab(servers) as made:
        id = await _filled(made, pending)
        for end in (_paused, _lost, _gone):
            await end(made, id)
            await _value(made, _HELD, id=id)  # before much of it is buried
        began = time.monotonic()
        await _deleted(made, id)
        await _no_more(made, "SELECT 1 FROM webhook_deliveries WHERE subscription_id = :id LIMIT 1", id=id)
        print(f"\nWhat was left of the deleted one was removed after {time.monotonic() - began:.0f} s.")


async def _filled(made: Lab, count: int) -> str:
    """Returns the id of a subscription that is asked to wait, with so much pending."""
    await made.subscribe("quick", 1)
    async with made.owner.transaction() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(_FORGET)
        await connection.execute(text("ANALYZE webhook_deliveries"))
        found = text("SELECT id FROM webhook_subscriptions WHERE webhook_url LIKE '%/quick/%'")
        id = str((await connection.execute(found)).scalar_one())
        await connection.execute(text(_HELD), {"id": id})
        await connection.execute(_FILL, {"subscription": id, "count": count})
    return id


async def _value(made: Lab, statement: str, **values: object) -> object:
    async with made.owner.transaction() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        return (await connection.execute(text(statement), values)).scalar()


async def _no_more(made: Lab, statement: str, **values: object) -> None:
    """Returns once a query's first value is none or false."""

    async def is_over() -> bool:
        return not await _value(made, statement, **values)

    await eventually(is_over, LONGEST)


async def _opened(made: Lab, id: str, kind: str) -> object:
    """Has what is pending sent; returns how much that is, once the first request has come."""
    made.forget()
    pending = await _value(made, _PENDING)
    await _value(made, "UPDATE webhook_subscriptions SET paused_until = NULL WHERE id = :id RETURNING 1", id=id)
    await eventually(lambda: made.sink.by_kind[kind])
    return pending


async def _gone(made: Lab, id: str) -> None:
    await _value(made, _AT_OTHER)
    pending = await _opened(made, id, "gone")
    await _disabled(made, "410", "gone", id, pending)


async def _lost(made: Lab, id: str) -> None:
    """The space is taken away from all."""
    pending = await _opened(made, id, "quick")
    await _value(made, f"DELETE FROM posts WHERE permlink = {_PERMLINK} RETURNING 1", id=id)
    await _disabled(made, "access lost", "quick", id, pending)
    await _value(made, _POST, id=id)


async def _disabled(made: Lab, name: str, kind: str, id: str, pending: object) -> None:
    """Tells of a subscription that is disabled by itself, from now on."""
    began = time.monotonic()
    await _no_more(made, "SELECT active FROM webhook_subscriptions WHERE id = :id", id=id)
    await _obeyed(made, name, kind, pending, began, time.monotonic())


async def _paused(made: Lab, id: str) -> None:
    pending, owner = await _opened(made, id, "quick"), await _owner_of(made, id)
    began = time.monotonic()
    await made.gateway.call(webhooks.change, ChangeSubscription(id, paused=True), owner)
    await _obeyed(made, "paused", "quick", pending, began, time.monotonic())


async def _deleted(made: Lab, id: str) -> None:
    pending, owner = await _opened(made, id, "gone"), await _owner_of(made, id)
    began = time.monotonic()
    await made.gateway.call(webhooks.unsubscribe, SubscriptionId(id), owner)
    await _obeyed(made, "deleted", "gone", pending, began, time.monotonic())


async def _owner_of(made: Lab, id: str) -> Caller:
    account = str(await _value(made, "SELECT created_by FROM webhook_subscriptions WHERE id = :id", id=id))
    return Caller(Identity("account", account, account), "bench")


async def _obeyed(made: Lab, name: str, kind: str, pending: object, began: float, ended: float) -> None:
    await asyncio.sleep(OBEYED)  # whatever is sent after it has come by then
    obeyed = max(ended, made.sink.last[kind]) - began
    row(name, f"{pending:,}", f"{obeyed:.1f}", "missed" if obeyed > OBEYED else "", f"{made.sink.by_kind[kind]:,}")
