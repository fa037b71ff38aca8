"""Presence as it is run: six services, realtime twice, and their servers, with every check in place.

Only the rate limits are off, since all clients share one address.
"""

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg

from bench.generator import Target
from bench.machine import ALL, OTHERS, SERVER, cpu_seconds, pin, pin_sessions, session_of
from deploy.local.ports import free_port
from deploy.local.servers.base import Process
from deploy.local.stack import Stack
from tests.support.halls import open_halls

OURS = "presence"
SPACE_TYPE = "event"
LOGINS_AT_ONCE = 16
REST_SECONDS = 5.0  # longer than the grace period: the members of a run leave only after it
REST_LIMIT_SECONDS, REST_CORES = 60.0, 0.3


class System:
    """The running stack, as a target of the load generator."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._tokens = stack.place.root / "tokens"
        self._numbers = itertools.count(1)

    @property
    def redis_url(self) -> str:
        return self._stack.settings["PRESENCE_REDIS_URL"]

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self._stack.http_port('gateway')}"

    @property
    def database_url(self) -> str:
        return self._stack.settings["PRESENCE_DATABASE_URL"]

    async def log_in(self, people: int) -> None:
        """A token of its own for each of the people, as a browser gets it."""
        url = f"{self.gateway_url}/api/auth/guest"
        gate = asyncio.Semaphore(LOGINS_AT_ONCE)

        async def token(session: aiohttp.ClientSession) -> str:
            async with gate, session.post(url, json={}) as response:
                response.raise_for_status()
                return str((await response.json())["token"])

        async with aiohttp.ClientSession() as session:
            tokens = await asyncio.gather(*(token(session) for _ in range(people)))
        self._tokens.write_text("\n".join(tokens) + "\n")

    async def target(self, *replicas: str, people: int) -> Target:
        """A new space with room for so many, on these replicas (default: the first)."""
        replicas = replicas or ("r1",)
        space = await self._make_space(people)
        options = ("--tokens", str(self._tokens), "--space-type", SPACE_TYPE, "--space-id", space)
        ports = tuple(self._stack.http_port(name) for name in replicas)
        return Target(OURS, ports, tuple(self._pid(name) for name in replicas), options)

    async def _make_space(self, people: int) -> str:
        name = f"bench-{next(self._numbers)}"
        await open_halls(self._stack.settings["PRESENCE_DATABASE_URL"], [name])
        statement = """INSERT INTO presence_space_settings (space_type, space_id, max_users) VALUES ($1, $2, $3)
                       ON CONFLICT (space_type, space_id) DO UPDATE SET max_users = $3"""
        connection = await asyncpg.connect(self._stack.settings["PRESENCE_DATABASE_URL"])
        try:
            await connection.execute(statement, SPACE_TYPE, name, people + 16)
        finally:
            await connection.close()
        return name

    def share_cores(self, *, alone: bool) -> None:
        """`alone`: the first replica has a core to itself. Otherwise everything may run everywhere."""
        pin_sessions(self._leaders(), OTHERS if alone else ALL)
        if alone:
            pin(self._pid("r1"), SERVER)

    async def restart(self, name: str) -> None:
        """A fresh process, so that no memory of earlier runs is counted."""
        await self._stack.stop_one(name)
        await self._stack.start_one(name)

    @asynccontextmanager
    async def without(self, name: str) -> AsyncIterator[None]:
        """Stops a service for as long as the block lasts."""
        await self._stack.stop_one(name)
        try:
            yield
        finally:
            await self._stack.start_one(name)

    async def rest(self) -> None:
        """Wait until all of it has tidied up after a run."""
        deadline = asyncio.get_running_loop().time() + REST_LIMIT_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            before = self._cpu()
            await asyncio.sleep(REST_SECONDS)
            if self._cpu() - before < REST_CORES * REST_SECONDS:
                return

    def cpu_by_component(self) -> dict[str, float]:
        """Seconds of CPU that each component, with all its processes, has taken so far."""
        leaders = {name: self._pid(name) for name in self._stack.components}
        return {name: sum(map(cpu_seconds, session_of(leader))) for name, leader in leaders.items() if leader}

    def _cpu(self) -> float:
        return sum(self.cpu_by_component().values())

    def _pid(self, name: str) -> int:
        component = self._stack.components[name]
        pid = component.child.pid if isinstance(component, Process) else None
        return pid or 0

    def _leaders(self) -> list[int]:
        processes = [part for part in self._stack.components.values() if isinstance(part, Process)]
        return [process.child.pid for process in processes if process.alive and process.child.pid]


@asynccontextmanager
async def running_system() -> AsyncIterator[System]:
    """The stack in a temporary folder, on free ports; nothing is left afterwards. URLs in the environment win."""
    root = Path(tempfile.mkdtemp(prefix="presence-bench-"))
    # All clients share one address; and all of 2000 are to be told of all.
    environment = {"PRESENCE_RATE_LIMIT_FACTOR": "0", "PRESENCE_INTEREST_ABOVE": "2000", **os.environ}
    stack = Stack(root, public_port=free_port(), environ=environment)
    try:
        await stack.start()
        yield System(stack)
    finally:
        await stack.stop()
        stack.place.remove()
