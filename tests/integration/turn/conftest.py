"""Two coturns: one as in production, one that relays between clients of this machine."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.guardian import Guardian
from deploy.local.ports import free_port
from deploy.local.servers.coturn import Coturn
from deploy.local.workplace import Workplace

SECRET = "the-secret-that-coturn-and-spaces-auth-share"


@asynccontextmanager
async def running(*, loopback_peers: bool, kind: type[Coturn] = Coturn) -> AsyncIterator[Coturn]:
    place, guardian = Workplace(Path(tempfile.mkdtemp(prefix="presence-turn-"))), Guardian()
    server = kind(place, guardian, free_port(), SECRET, loopback_peers=loopback_peers)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
        guardian.close()
        place.remove()


@pytest.fixture(scope="module")
async def production_coturn() -> AsyncIterator[Coturn]:
    """With the deny list of deploy/coturn/turnserver.conf and nothing that beats it."""
    async with running(loopback_peers=False) as server:
        yield server


class SmallCoturn(Coturn):
    """Gives each name two relays."""

    def _own_lines(self) -> list[str]:
        return [*super()._own_lines(), "user-quota=2"]


@pytest.fixture
async def small_coturn() -> AsyncIterator[Coturn]:
    async with running(loopback_peers=False, kind=SmallCoturn) as server:
        yield server


@pytest.fixture(scope="module")
async def local_coturn() -> AsyncIterator[Coturn]:
    """As in `make up`."""
    async with running(loopback_peers=True) as server:
        yield server
