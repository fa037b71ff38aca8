from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.sync_worker.backups.world import World, filled
from tests.support.servers import Servers


@pytest.fixture
async def world(servers: Servers, tmp_path: Path) -> AsyncIterator[World]:
    async with filled(servers, tmp_path / "backups") as world:
        yield world
