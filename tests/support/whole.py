"""One whole stack for the end-to-end and fault tests: six services, realtime twice, behind Caddy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from deploy.local.components import Service
from deploy.local.guardian import Guardian
from deploy.local.ports import free_port
from deploy.local.processes import read_pid_file
from deploy.local.stack import Stack
from tests.support.people import Rest
from tests.support.servers import RunStack


@pytest.fixture(scope="session")
async def stack(run_stack: RunStack) -> AsyncIterator[Stack]:
    """Limits are raised, since all tests share one address."""
    async with run_stack(PRESENCE_RATE_LIMIT_FACTOR="100") as running:
        yield running


@pytest.fixture
async def rest(stack: Stack) -> AsyncIterator[Rest]:
    async with Rest(stack.url) as client:
        yield client


class Replica:
    """One more realtime replica, beside those behind Caddy, with settings of its own; `url` is its own port's."""

    def __init__(self, stack: Stack, name: str, guardian: Guardian, settings: dict[str, str]) -> None:
        port, ops_port = free_port(), free_port()
        own = {
            "PRESENCE_REPLICA_ID": name,
            "PRESENCE_HTTP_PORT": str(port),
            "PRESENCE_OPS_PORT": str(ops_port),
        }
        environment = {**stack.settings_of("realtime"), **own, **settings}
        command = ("-m", "services.realtime")
        self.process = Service(name, stack.place, guardian, command, environment, (ops_port, "/readyz"))
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    @property
    def memory(self) -> int:
        """Bytes of it in RAM."""
        with open(f"/proc/{self.process.child.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@asynccontextmanager
async def one_more_replica(stack: Stack, name: str, **settings: str) -> AsyncIterator[Replica]:
    guardian = Guardian()
    replica = Replica(stack, name, guardian, settings)
    await replica.process.start()
    try:
        yield replica
    finally:
        await replica.process.stop()
        guardian.close()


async def leave_reason(stack: Stack, socket_id: str) -> str | None:
    """Why the socket's session in the database ended; None while it has not."""
    connection = await asyncpg.connect(stack.settings["PRESENCE_DATABASE_URL"])
    try:
        query = "SELECT leave_reason FROM presence_sessions WHERE socket_id = $1 AND left_at IS NOT NULL"
        reason: str | None = await connection.fetchval(query, socket_id)
        return reason
    finally:
        await connection.close()


@asynccontextmanager
async def one_more_gateway(stack: Stack, name: str, **settings: str) -> AsyncIterator[str]:
    """A gateway of the stack with settings of its own, and the limits as they are declared; yields its own port's URL.

    Tests stand behind it as behind a proxy: `X-Forwarded-For` says from which address they come.
    """
    port, ops_port = free_port(), free_port()
    own = {
        "PRESENCE_HTTP_PORT": str(port),
        "PRESENCE_OPS_PORT": str(ops_port),
        "PRESENCE_RATE_LIMIT_FACTOR": "1",
        "PRESENCE_PROXY_SECRET": "",  # by default a proxy on this machine is believed
    }
    guardian = Guardian()
    environment = {**stack.settings_of("gateway"), **own, **settings}
    process = Service(name, stack.place, guardian, ("-m", "services.gateway"), environment, (ops_port, "/readyz"))
    await process.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await process.stop()
        guardian.close()


def process_id(stack: Stack, name: str) -> int:
    """Returns the process of a running component."""
    pid = read_pid_file(stack.place.run / f"{name}.pid")
    assert pid
    return pid
