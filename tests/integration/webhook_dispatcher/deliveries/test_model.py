"""Whatever is done to subscriptions, in whatever order: each event reaches each endpoint that should have it.

Once or more, under one id, signed with a secret that was live. At the end of a run what is paused or disabled is taken
up again, each endpoint outlives two secrets and fails twice more, and then works on; what died or was missed is
asked for, and nothing may be lacking.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule, run_state_machine_as_test
from standardwebhooks import Webhook as Library

from libs.common.clock import now
from libs.common.contracts import webhooks
from services.webhook_dispatcher import health_watch
from services.webhook_dispatcher.redelivery import redeliverer
from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, Received, Reply, WebhookSink

ANSWERS = st.sampled_from([500, 302, 404, 410, Reply(429, {"Retry-After": "120"}), Reply(503), HANG])
SPANS = st.sampled_from([6, 400, 4_000, 90_000, 260_000])
OVERLAPS = st.sampled_from([0, 3_600, 86_400])
TIMEOUT = 0.3  # seconds of a request
NEVER = datetime(9000, 1, 1, tzinfo=UTC)
CLAIMED = """
SELECT id, claimed_until AS lease FROM webhook_deliveries WHERE claimed_until > :moment
UNION ALL SELECT id, redeliver_at FROM webhook_deliveries d WHERE redeliver_at > :moment
  AND NOT EXISTS (SELECT FROM webhook_attempts a WHERE a.delivery_id = d.id AND a.next_attempt_at = d.redeliver_at)
"""
CLAIMING = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'presence webhook_dispatcher'
AND backend_xid IS NOT NULL
"""
SECOND = timedelta(seconds=1)  # timestamps have no fractions


@dataclass
class Subscribed:
    """A subscription of the model. `secrets` are with the times from which and until which each signs."""

    id: str
    paths: set[str]
    secrets: list[tuple[str, datetime, datetime]]
    events: set[int] = field(default_factory=set)  # that it should have, by their numbers
    is_deleted: bool = False


class Model(RuleBasedStateMachine):
    """`world`, `sink` and `loop` are set by the test; `numbers` make what is new in all runs."""

    world: World
    sink: WebhookSink
    loop: asyncio.AbstractEventLoop
    numbers = count(1)
    subscriptions = Bundle("subscriptions")

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Subscribed] = []
        self.left: set[tuple[str, datetime]] = set()  # claims of processes that were killed
        self.sink.answer(200)
        self.sink.received.clear()
        self.processes = AsyncExitStack()
        self.start()

    def wait[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def start(self) -> None:
        options: dict[str, Any] = {"drain_seconds": 0, "webhook_timeout": TIMEOUT, "webhook_subscriptions": 1_000}
        self.wait(self.processes.enter_async_context(self.world.dispatcher(**options)))

    def path(self) -> str:
        return f"/{next(self.numbers)}"

    def url(self, path: str) -> str:
        return self.sink.url.removesuffix("/hook") + path

    def do(self, operation: Any, **fields: Any) -> Any:
        return self.wait(self.world.do(operation, **fields))

    @initialize(target=subscriptions)
    def begin(self) -> Subscribed:
        return self.subscribe_to_another()

    @rule(target=subscriptions)
    def subscribe(self) -> Subscribed:
        return self.subscribe_to_another()

    def subscribe_to_another(self) -> Subscribed:
        path = self.path()
        made = self.wait(self.world.subscribe(self.url(path)))
        subscribed = Subscribed(made.subscription.id, {path}, [(made.secret or "", self.world.clock(), NEVER)])
        self.all.append(subscribed)
        return subscribed

    @rule()
    def publish(self) -> None:
        event = message_posted(seq=next(self.numbers))
        self.wait(self.world.log(event))
        for one in self.living:
            one.events.add(event.seq)
        self.wait(self.world.bus.publish(event))

    @rule(one=subscriptions)
    def change_url(self, one: Subscribed) -> None:
        path = self.path()
        one.paths.add(path)
        self.do(webhooks.change, id=one.id, webhook_url=self.url(path))

    @rule(one=subscriptions, overlap=OVERLAPS)
    def rotate(self, one: Subscribed, overlap: int) -> None:
        rotated = self.do(webhooks.rotate_secret, id=one.id, overlap_seconds=overlap)
        moment = self.world.clock()
        for n, (secret, begins, ends) in enumerate(one.secrets):
            is_present = n == len(one.secrets) - 1
            one.secrets[n] = (secret, begins, min(ends, moment + timedelta(seconds=overlap if is_present else 0)))
        one.secrets.append((rotated.secret, moment, NEVER))
        with contextlib.suppress(AssertionError):  # what lost its URL between two looks keeps its claim
            self.wait(eventually(self.no_request_under_way, TIMEOUT * 10))

    async def no_request_under_way(self) -> bool:
        """Time is to pass after that: what was claimed before a rotation is signed by the secrets of its claim."""
        return not await self.claims() - self.left and not await self.world.sql(CLAIMING)

    async def claims(self) -> set[tuple[str, datetime]]:
        return {(str(row.id), row.lease) for row in await self.world.sql(CLAIMED, moment=self.world.clock())}

    @rule(one=subscriptions, paused=st.booleans())
    def pause_or_resume(self, one: Subscribed, paused: bool) -> None:
        self.do(webhooks.change, id=one.id, paused=paused)

    @rule(one=subscriptions)
    def miss(self, one: Subscribed) -> None:
        """Something happens while it is paused."""
        self.do(webhooks.change, id=one.id, paused=True)
        self.publish()

    @rule(one=subscriptions, overlap=OVERLAPS)
    def outlive_a_secret(self, one: Subscribed, overlap: int) -> None:
        self.rotate(one, overlap)
        self.world.clock.advance(seconds=overlap + 60)
        self.publish()

    @rule(one=consumes(subscriptions))
    def delete(self, one: Subscribed) -> None:
        one.is_deleted = True
        self.do(webhooks.unsubscribe, id=one.id)

    @rule(answer=ANSWERS, times=st.integers(1, 4))
    def answer_badly(self, answer: int | Reply, times: int) -> None:
        self.sink.answer(*[answer] * times, 200)

    @rule(span=SPANS)
    def time_passes(self, span: int) -> None:
        self.world.clock.advance(seconds=span)

    @rule()
    def kill(self) -> None:
        self.wait(self.processes.aclose())
        self.left |= self.wait(self.claims())
        self.start()

    @rule(one=subscriptions)
    def redeliver(self, one: Subscribed) -> None:
        for delivery in self.wait(self.world.deliveries(one.id))[:2]:
            self.do(webhooks.redeliver, id=delivery.id)

    def teardown(self) -> None:
        try:
            self.wait(self.resume())
            for one in self.living:
                for overlap in (0, 3_600):
                    self.sink.answer(500, 200)
                    self.outlive_a_secret(one, overlap)
            self.wait(self.catch_up())
            self.check()
        finally:
            self.wait(self.leave())

    @property
    def living(self) -> list[Subscribed]:
        return [one for one in self.all if not one.is_deleted]

    async def resume(self) -> None:
        self.sink.answer(200)
        self.sink.release()
        for one in self.living:
            await self.world.do(webhooks.change, id=one.id, paused=False)

    async def catch_up(self) -> None:
        await eventually(self.nothing_pending)
        for one in self.living:
            span: dict[str, Any] = {"since": now() - timedelta(hours=1), "until": now() + SECOND}
            for status in ("dead", "missed"):
                await self.world.do(webhooks.redeliver_range, id=one.id, status=status, **span)
        await eventually(self.nothing_pending)

    async def nothing_pending(self) -> bool:
        """Lets time pass while something is."""
        pending = "SELECT 1 FROM webhook_deliveries WHERE status = 'pending' OR redeliver_at IS NOT NULL LIMIT 1"
        if await self.world.sql(pending):
            self.world.clock.advance(hours=5)
            return False
        return True

    def check(self) -> None:
        for one in self.all:
            requests = [request for request in self.sink.received if request.path in one.paths]
            ids: dict[int, set[str]] = defaultdict(set)
            for request in requests:
                ids[request.json["sequence"]] |= {request.webhook_id, request.json["id"]}
            assert all(len(of_event) == 1 for of_event in ids.values()), "one event, one id"
            assert len(set.union(set(), *ids.values())) == len(ids), "one id, one event"
            assert one.is_deleted or one.events <= ids.keys()
            assert all(_is_signed(request, one.secrets) for request in requests)

    async def leave(self) -> None:
        for one in self.living:
            await self.world.do(webhooks.unsubscribe, id=one.id)
        await self.processes.aclose()


def _is_signed(request: Received, secrets: list[tuple[str, datetime, datetime]]) -> bool:
    """Whether every signature is by a secret that was live when it was made, and the newest is among them."""
    moment = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    live = [secret for secret, begins, ends in secrets if begins - SECOND <= moment <= ends + SECOND]
    made = {Library(secret).sign(request.webhook_id, moment, request.body.decode()) for secret in live}
    return bool(made) and set(request.headers["webhook-signature"].split()) <= made


@pytest.mark.timeout(300)
async def test_each_event_reaches_each_endpoint_that_should_have_it(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_watch, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(redeliverer, "POLL_SECONDS", 0.02)
    Model.world, Model.sink, Model.loop = world, sink, asyncio.get_running_loop()
    bounds = settings(
        max_examples=5,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        phases=[Phase.generate],
    )
    await asyncio.to_thread(run_state_machine_as_test, Model, settings=bounds)
