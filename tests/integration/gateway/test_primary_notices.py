"""`POST /api/webhooks/primary`: the primary says that it changed, and is believed no more than that."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from libs.common import cache
from libs.common.bus.base import BusUnavailable
from libs.common.clock import now
from libs.common.contracts import content
from tests.integration.gateway.conftest import Run
from tests.integration.gateway.world import Answer, World, is_error

PATH = "/api/webhooks/primary"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"table": "posts"}'


def signed(body: bytes = BODY, *, notice: str = "msg_1", secret: str = SECRET, age: float = 0.0) -> dict[str, str]:
    moment = now() - timedelta(seconds=age)
    return {
        "webhook-id": notice,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(notice, moment, body.decode()),
    }


async def notify(world: World, body: bytes = BODY, **changes: Any) -> Answer:
    return await world.ask("POST", PATH, body, headers=signed(body, **changes))


async def test_a_signed_notice_starts_one_cycle_however_often_it_is_sent(redis_url: str, run: Run) -> None:
    async with run(redis_url, primary_webhook_secret=SECRET) as world:
        for _ in range(3):
            assert (await notify(world)).status == 202
        assert len(world.asked) == 1
        assert world.caller.identity.key == "service:gateway"
        await notify(world, notice="msg_2")
        assert len(world.asked) == 2


async def test_a_secret_of_another_form_is_its_own_bytes(redis_url: str, run: Run) -> None:
    async with run(redis_url, primary_webhook_secret="a secret of ours") as world:
        headers = signed()
        headers["webhook-signature"] = Webhook(b"a secret of ours").sign("msg_1", now(), BODY.decode())
        assert (await world.ask("POST", PATH, BODY, headers=headers)).status == 202


@pytest.mark.parametrize("change", [{"secret": "whsec_" + "B" * 32}, {"age": 301}, {"age": -302}])
async def test_a_notice_of_another_key_or_time_is_refused(redis_url: str, run: Run, change: dict[str, Any]) -> None:
    async with run(redis_url, primary_webhook_secret=SECRET) as world:
        assert is_error(await notify(world, **change), 401, "unauthorized")
        assert world.asked == []


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_a_notice_that_is_not_signed_is_refused(redis_url: str, run: Run, missing: str) -> None:
    async with run(redis_url, primary_webhook_secret=SECRET) as world:
        headers = {name: value for name, value in signed().items() if name != missing}
        assert is_error(await world.ask("POST", PATH, BODY, headers=headers), 401, "unauthorized")
        odd = {**signed(), "webhook-signature": "nonsense v1,é"}
        assert is_error(await world.ask("POST", PATH, b"\xff", headers=odd), 401, "unauthorized")


async def test_a_large_notice_is_refused_though_it_is_signed(redis_url: str, run: Run) -> None:
    async with run(redis_url, primary_webhook_secret=SECRET) as world:
        assert is_error(await notify(world, b" " * 4097), 413, "too_large")
        assert (await notify(world, b" " * 4096)).status == 202


async def test_without_a_secret_no_notice_is_taken(world: World) -> None:
    assert is_error(await notify(world), 405, "method_not_allowed")
    assert world.asked == []


async def test_notices_of_an_address_are_limited_before_they_are_looked_at(redis_url: str, run: Run) -> None:
    most = content.primary_changed.limit.calls
    async with run(redis_url, primary_webhook_secret=SECRET) as world:
        answers = [await notify(world, secret="whsec_" + "B" * 32) for _ in range(most + 1)]
    assert is_error(answers[-1], 429, "rate_limited")
    assert [answer.status for answer in answers[:-1]] == [401] * most


async def test_a_notice_that_reached_no_worker_may_come_again(redis_url: str, run: Run) -> None:
    async with run(redis_url, primary_webhook_secret=SECRET) as world:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(world.bus), "call", _nobody)
            assert is_error(await notify(world), 503, "unavailable")
        digest = hashlib.sha256(b"msg_1").hexdigest()
        assert not await world.redis.redis.exists(cache.primary_notice(digest))


async def _nobody(*_: Any, **__: Any) -> Any:
    raise BusUnavailable
