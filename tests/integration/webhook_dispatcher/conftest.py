from collections.abc import AsyncIterator

import pytest

from services.webhook_dispatcher import delivery
from services.webhook_dispatcher.sending import endings
from tests.integration.webhook_dispatcher.world import World, new_world
from tests.support.webhook_sink import WebhookSink


@pytest.fixture
async def world(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Makes the real clock find soon what is due by the test's clock."""
    monkeypatch.setattr(delivery, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(endings, "BURY_SECONDS", 0.1)
    monkeypatch.setattr(endings, "REMOVE_SECONDS", 0.1)
    async with new_world(database_url) as world:
        yield world


@pytest.fixture
async def sink() -> AsyncIterator[WebhookSink]:
    async with WebhookSink() as sink:
        yield sink
