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
LONGEST = 900.0  # seconds that anything may take
_FILL = text("""
INSERT INTO webhook_deliveries (id, subscription_id, event_id, webhook_id, event, sequence, body, actor,
  next_attempt_at)
SELECT gen_random_uuid(), :subscription, gen_random_uuid(), 'msg_' || n, 'chat', n,
  convert_to(repeat('x', 500), 'UTF8'), 'account:alice', now() FROM generate_series(1, :count) n
""")


async def backlog(servers: Servers, pending: int = PENDING) -> None:
    """Ends a subscription in each way there is. What is obeyed is that no request begins any more."""
    print(f"\n## A subscription ends with {pending:,} deliveries pending; goal: obeyed within {OBEYED:g} s\n")
    head("how", "obeyed after s", "goal", "requests", "rows in order after s")
    for end in (_gone, _lost, _paused, _deleted):
        async with lab(servers) as made:
            await end(made, pending)


async def _pending(made: Lab, kind: str, count: int) -> str:
    """Returns the id of a paused subscription with so much pending."""
    await made.subscribe(kind, 1)
    async with made.owner.transaction() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        found = text(
            "UPDATE webhook_subscriptions SET paused_until = 'infinity' WHERE webhook_url LIKE :url RETURNING id"
        )
        id = str((await connection.execute(found, {"url": f"%/{kind}/%"})).scalar_one())
        await connection.execute(_FILL, {"subscription": id, "count": count})
    await asyncio.sleep(2)
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


async def _open(made: Lab, id: str) -> None:
    """Has what is pending for a subscription sent."""
    made.forget()
    await _value(made, "UPDATE webhook_subscriptions SET paused_until = NULL WHERE id = :id RETURNING 1", id=id)


async def _gone(made: Lab, pending: int) -> None:
    id = await _pending(made, "gone", pending)
    await _open(made, id)
    await eventually(lambda: made.sink.by_kind["gone"])
    await _disabled(made, "410", "gone", id, time.monotonic())


async def _lost(made: Lab, pending: int) -> None:
    """The space is taken away from all."""
    id = await _pending(made, "quick", pending)
    permlink = "SELECT split_part(space_id, '/', 2) FROM webhook_subscriptions WHERE id = :id"
    await _open(made, id)
    await eventually(lambda: made.sink.by_kind["quick"])
    began = time.monotonic()
    await _value(made, f"DELETE FROM posts WHERE permlink = ({permlink}) RETURNING 1", id=id)
    await _disabled(made, "access lost", "quick", id, began)


async def _disabled(made: Lab, name: str, kind: str, id: str, began: float) -> None:
    """Tells of a subscription that is disabled by itself."""
    await _no_more(made, "SELECT active FROM webhook_subscriptions WHERE id = :id", id=id)
    obeyed = max(time.monotonic(), made.sink.last[kind])
    await _no_more(made, "SELECT is_given_up FROM webhook_subscriptions WHERE id = :id", id=id)
    pending = "SELECT 1 FROM webhook_deliveries WHERE subscription_id = :id AND status = 'pending' LIMIT 1"
    await _no_more(made, pending, id=id)
    _row_ended(made, name, kind, max(obeyed, made.sink.last[kind]) - began, time.monotonic() - began)


async def _paused(made: Lab, pending: int) -> None:
    id = await _pending(made, "quick", pending)
    await _open(made, id)
    await eventually(lambda: made.sink.by_kind["quick"])
    began = time.monotonic()
    await made.gateway.call(webhooks.change, ChangeSubscription(id, paused=True), await _owner_of(made, id))
    answered = time.monotonic()
    await asyncio.sleep(2 * OBEYED)  # whatever is sent after it has come by then
    _row_ended(made, "paused", "quick", max(answered, made.sink.last["quick"]) - began, 0)


async def _deleted(made: Lab, pending: int) -> None:
    id = await _pending(made, "quick", pending)
    await _open(made, id)
    await eventually(lambda: made.sink.by_kind["quick"])
    caller = await _owner_of(made, id)
    began = time.monotonic()
    await made.gateway.call(webhooks.unsubscribe, SubscriptionId(id), caller)
    answered = time.monotonic()
    await _no_more(made, "SELECT 1 FROM webhook_deliveries WHERE subscription_id = :id LIMIT 1", id=id)
    _row_ended(made, "deleted", "quick", max(answered, made.sink.last["quick"]) - began, time.monotonic() - began)


async def _owner_of(made: Lab, id: str) -> Caller:
    account = str(await _value(made, "SELECT created_by FROM webhook_subscriptions WHERE id = :id", id=id))
    return Caller(Identity("account", account, account), "bench")


def _row_ended(made: Lab, name: str, kind: str, obeyed: float, in_order: float) -> None:
    missed = "missed" if obeyed > OBEYED else ""
    row(name, f"{obeyed:.1f}", missed, f"{made.sink.by_kind[kind]:,}", f"{in_order:.0f}")
