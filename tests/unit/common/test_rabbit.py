"""RabbitMQ's bus without a broker. With one: `tests/conformance`."""

import pytest
from structlog.testing import capture_logs

from libs.common.bus import rabbit
from libs.common.bus.rabbit import RabbitBus
from tests.support.waiting import eventually


async def test_a_broker_url_that_cannot_be_used_is_logged_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbit, "FIRST_PAUSE", 0.01)
    bus = RabbitBus("amqp://guest:guest@127.0.0.1:no-port/", "test")
    with capture_logs() as logs:
        await bus.start()
        await eventually(lambda: sum(entry["event"] == "the broker cannot be used" for entry in logs) >= 2)
    assert not bus.ready
    await bus.stop()
