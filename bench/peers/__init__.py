"""The peers' servers: started for one run, on a free port, and gone after it."""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.generator import Target
from bench.machine import Cores, pin
from deploy.local.guardian import Guardian
from deploy.local.ports import free_port
from deploy.local.probes import can_connect
from deploy.local.processes import Launch
from deploy.local.servers.base import Process, plain_environment
from deploy.local.workplace import Workplace

FOLDER = Path(__file__).parent
NODE, WS, STOCK, EXPRESS = "node", "ws", "stock", "express"
TITLES = {
    NODE: "Node socket.io 4.8",
    WS: "Node ws, frame prepared once",
    STOCK: "stock python-socketio",
    EXPRESS: "Express 5 and pg",
}
COMMANDS = {
    NODE: ("node", "relay.js"),
    WS: ("node", "prepared.js"),
    STOCK: (sys.executable, "stock.py"),
    EXPRESS: ("node", "rest.js"),
}
OPTIONS = {WS: ("--raw",)}


class Peer(Process):
    """One process of a peer. `more` follows the port on its command line."""

    ready_seconds = 20.0
    stop_seconds = 2.0

    def __init__(self, name: str, number: int, place: Workplace, guardian: Guardian, more: tuple[str, ...]) -> None:
        super().__init__(f"{name}{number}", place, guardian)
        self.port = free_port()
        self._command = (*COMMANDS[name], str(self.port), *more)

    def launch(self) -> Launch:
        return Launch(self._command, FOLDER, plain_environment(NODE_ENV="production"))

    async def is_ready(self) -> bool:
        return await can_connect("127.0.0.1", self.port)


@asynccontextmanager
async def peer(name: str, cores: Cores, processes: int = 1, more: tuple[str, ...] = ()) -> AsyncIterator[Target]:
    """A peer that runs on these cores; nothing of it is left afterwards."""
    place, guardian = Workplace(Path(tempfile.mkdtemp(prefix="presence-peer-"))), Guardian()
    servers = [Peer(name, number, place, guardian, more) for number in range(processes)]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        pids = tuple(server.child.pid or 0 for server in servers)
        for pid in pids:
            pin(pid, cores)
        yield Target(name, tuple(server.port for server in servers), pids, OPTIONS.get(name, ()))
    finally:
        await asyncio.gather(*(server.kill() for server in servers))
        guardian.close()
        place.remove()


def install() -> None:
    """`npm ci`, if the lock changed since the last time. Raises CalledProcessError."""
    home = FOLDER.parent
    lock, stamp = (home / "package-lock.json").read_text(), home / "node_modules" / ".presence-lock"
    if stamp.exists() and stamp.read_text() == lock:
        return
    npm = shutil.which("npm") or "npm"
    subprocess.run([npm, "ci", "--silent", "--no-progress"], cwd=home, check=True)
    stamp.write_text(lock)
