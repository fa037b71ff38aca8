from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.databases import drop_database
from tests.integration.sync_worker.backups.world import World
from tests.support.servers import Servers


@pytest.fixture
async def world(servers: Servers, tmp_path: Path) -> AsyncIterator[World]:
    """A database as the local stack has it: with logins of the services, and an owner who is no superuser."""
    world = World(await servers.new_database_with_logins(), tmp_path / "backups")
    await world.fill()
    yield world
    for database in await world.databases():
        await drop_database(servers.postgres, database)
