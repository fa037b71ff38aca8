"""The stack under attack: what it takes of the machine, what is put into it before, and who stands beside."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from redis.asyncio import Redis

from deploy.local.keys import sign_text
from deploy.local.ports import free_port
from deploy.local.servers.base import Process
from deploy.local.stack import Stack

ATTACKER, BYSTANDER, VICTIM = "127.0.0.2", "127.0.0.3", "127.0.0.4"
POLITENESS = 10  # nice value of the attacker while it attacks: it would not take our processors' time
OURS = ("gateway", "r1", "r2", "spaces_auth", "chat", "postgres", "redis")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Price:
    """What an attack cost. Times of a bystander are milliseconds; memory is that of our processes, in MB."""

    attacker: str = ""
    sent: int = 0
    told: bool | None = None  # None: there is nothing to tell
    ended_after: float | None = None  # seconds until the server ended the first connection
    server_cpu: float = 0.0
    server_mb: float = 0.0
    bystander: list[float] = field(default_factory=list)
    unanswered: int = 0
    also: str = ""


class Stage:
    """A running stack with the limits that strangers meet."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.replica = f"http://127.0.0.1:{stack.http_port('r1')}"
        self.api = f"http://127.0.0.1:{stack.http_port('gateway')}"

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        """Carries out one statement as the owner of the tables."""
        connection = await asyncpg.connect(self.stack.settings["PRESENCE_DATABASE_URL"], command_timeout=600)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def redis_keys(self) -> tuple[int, int]:
        """Returns how many keys there are, and how many of them end."""
        redis = Redis.from_url(self.stack.settings["PRESENCE_REDIS_URL"])
        try:
            info = (await redis.info("keyspace")).get("db0", {"keys": 0, "expires": 0})
            return int(info["keys"]), int(info["expires"])
        finally:
            await redis.aclose()

    async def log_in(self, http: aiohttp.ClientSession, account: str) -> str:
        """Returns an account's token."""
        async with http.post(f"{self.api}/api/auth/challenge", json={"account": account}) as answer:
            challenge = (await answer.json())["challenge"]
        body = {"account": account, "challenge": challenge, "signature": sign_text(account, challenge)}
        async with http.post(f"{self.api}/api/auth/login", json=body) as answer:
            answer.raise_for_status()
            return str((await answer.json())["token"])

    async def copy_row(self, table: str, where: str, count: int, **changed: str) -> None:
        """Repeats the row that `where` finds, `n` from 1 to `count`; `changed` columns are SQL expressions of `n`."""
        found = await self.sql(
            "SELECT column_name FROM information_schema.columns WHERE table_name = $1 AND is_generated = 'NEVER'", table
        )
        names = [row["column_name"] for row in found]
        values = ", ".join(changed.get(name, f"r.{name}") for name in names)
        await self.sql(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} "
            f"FROM (SELECT * FROM {table} WHERE {where} LIMIT 1) r, generate_series(1, {count}) n"
        )

    def cpu(self, names: Sequence[str] = OURS) -> float:
        """Returns the CPU seconds of these components so far, with all their processes."""
        return sum(_cpu_seconds(pid) for name in names for pid in self._processes(name))

    def memory(self) -> float:
        """Returns the resident memory of our Python processes, in MB."""
        pids = [pid for name in ("gateway", "r1", "r2", "spaces_auth", "chat") for pid in self._processes(name)]
        return sum(_resident_bytes(pid) for pid in pids) / 1e6

    def _processes(self, name: str) -> list[int]:
        component = self.stack.components[name]
        leader = component.child.pid if isinstance(component, Process) else None
        return [int(p.name) for p in Path("/proc").glob("[0-9]*") if leader and _session(p) == leader]

    @asynccontextmanager
    async def priced(self, price: Price, kind: str = "time") -> AsyncIterator[None]:
        """Measures what the block costs, beside somebody who asks for `kind` all the time."""
        url = self.replica if kind == "time" else self.api
        bystander = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"{__package__}.bystander", kind, url, BYSTANDER,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert bystander.stdout
        await bystander.stdout.readline()
        os.setpriority(os.PRIO_PROCESS, 0, POLITENESS)
        await asyncio.sleep(2)
        cpu, memory, began = self.cpu(), self.memory(), time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            printed, _ = await bystander.communicate()
            price.server_cpu, price.server_mb = self.cpu() - cpu, self.memory() - memory
            answers = json.loads(printed)
            price.bystander = [answer for answer in answers if answer is not None]
            price.unanswered = len(answers) - len(price.bystander)
            price.also = f"{price.also} in {seconds:.1f} s".strip()


def _session(process: Path) -> int:
    try:
        return os.getsid(int(process.name))
    except OSError:
        return 0


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A stack of the tree that Python imports from, in a temporary folder; nothing is left afterwards."""
    root = Path(tempfile.mkdtemp(prefix="presence-strangers-"))
    stack = Stack(root, public_port=free_port(), environ={**os.environ, "PRESENCE_RATE_LIMIT_FACTOR": "1"})
    try:
        await stack.start()
        yield Stage(stack)
    finally:
        await stack.stop()
        stack.place.remove()
