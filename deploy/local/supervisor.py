"""Keeps a stack up: starts it, restarts what dies, stops it on SIGTERM. Runs as a daemon behind `make up`.

SIGHUP makes it restart the components named by the files in `run/restart/`.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field

from deploy.local.errors import SetupError
from deploy.local.processes import end_leftovers, write_pid_file
from deploy.local.servers.lan import Lan
from deploy.local.stack import Stack
from deploy.local.state import DOWN, FAILED, STOPPING, UP, StateFile, begun
from deploy.local.workplace import Workplace

LOOK_SECONDS = 0.5
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0  # after running this long a component's backoff starts anew


@dataclass
class Attempts:
    """How often a component was restarted lately."""

    count: int = 0
    last: float = field(default=float("-inf"))

    def next_delay(self, now: float) -> float:
        """Seconds to wait before the next restart; longer each time, up to 30."""
        if now - self.last > STEADY_SECONDS:
            self.count = 0
        delay = BACKOFF_SECONDS[min(self.count, len(BACKOFF_SECONDS) - 1)]
        self.count += 1
        self.last = now + delay
        return delay


class Supervisor:
    """One stack, watched. `stop` may be set from anywhere in its loop."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        stack.progress = self.note
        self.stop = asyncio.Event()
        self._state_file = StateFile(self.stack.place)
        self._state = begun(
            self.stack.url, self.stack.settings["PRESENCE_DATABASE_URL"], stack.lan.url if stack.lan else ""
        )
        self._attempts: dict[str, Attempts] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}

    def note(self, name: str, word: str) -> None:
        """Remember and print what a component does."""
        self._state.components[name] = (word, time.time())
        self._write()
        say(f"{name} {word}")

    async def run(self) -> int:
        """Returns the exit code once the stack is down again."""
        self._enter(self._state.phase)
        try:
            await self._start()
        except SetupError as error:
            self._state.error = str(error)
            self._enter(FAILED)
            return 1
        if not self.stop.is_set():
            self._enter(UP)
            await self._watch()
        self._enter(STOPPING)
        await self._stop_restarts()
        await self.stack.stop()
        self._enter(DOWN)
        return 0

    async def _start(self) -> None:
        """Start the stack; a stop in the meantime cancels that."""
        starting = asyncio.create_task(self.stack.start())
        stopping = asyncio.create_task(self.stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting

    async def _watch(self) -> None:
        """Until asked to stop, or until somebody deletes our folder."""
        while not self.stop.is_set() and self.stack.place.run.exists():
            for name, component in self.stack.components.items():
                if not component.alive and name not in self._busy:
                    self._spawn(name, self._revive(name))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), LOOK_SECONDS)

    async def _revive(self, name: str) -> None:
        """Start a dead component again, after a pause that grows while it keeps dying."""
        delay = self._attempts.setdefault(name, Attempts()).next_delay(time.monotonic())
        self.note(name, f"died, starts again in {delay:g} s")
        await self.stack.kill(name)  # what its process left behind
        await asyncio.sleep(delay)
        await self._start_again(name)

    async def _restart(self, name: str) -> None:
        await self.stack.stop_one(name)
        await self._start_again(name)

    async def _start_again(self, name: str) -> None:
        self._state.restarts[name] = self._state.restarts.get(name, 0) + 1
        try:
            await self.stack.start_one(name)
        except SetupError as error:
            self.note(name, "failed to start")  # it is not alive, so the next look tries again, later
            say(str(error))

    def restart_requested(self) -> None:
        """Restart the components that files in `run/restart/` name."""
        for request in (self.stack.place.run / "restart").glob("*"):
            request.unlink()
            if request.name in self.stack.components and request.name not in self._busy:
                self._spawn(request.name, self._restart(request.name))

    def _spawn(self, name: str, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._busy[name] = task
        task.add_done_callback(lambda _: self._busy.pop(name))

    async def _stop_restarts(self) -> None:
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _enter(self, phase: str) -> None:
        self._state.phase = phase
        self._write()
        say(f"the stack is {phase}{': ' if self._state.error else ''}{self._state.error}")

    def _write(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # somebody deleted our folder: we are about to stop
            self._state_file.write(self._state)


def say(text: str) -> None:
    """One line of the supervisor's own log."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}", flush=True)


async def supervise(place: Workplace, public_port: int, lan: Lan | None = None) -> int:
    """The daemon's life: tidy up after a killed one, run the stack, leave nothing behind."""
    for name in end_leftovers(place):
        say(f"ended {name}, left by a supervisor that was killed")
    write_pid_file(place.run / "supervisor.pid", os.getpid())
    supervisor = Supervisor(Stack(place.root, public_port=public_port, lan=lan))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, supervisor.stop.set)
    loop.add_signal_handler(signal.SIGINT, supervisor.stop.set)
    loop.add_signal_handler(signal.SIGHUP, supervisor.restart_requested)
    try:
        return await supervisor.run()
    finally:
        (place.run / "supervisor.pid").unlink(missing_ok=True)


@contextlib.contextmanager
def only_one(place: Workplace) -> Iterator[bool]:
    """Yields whether we are the only supervisor of this folder; the lock goes with the process."""
    with (place.run / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def main(place: Workplace, public_port: int, lan: Lan | None = None) -> int:
    """Run as the daemon. Exit code 0 after an ordered stop, 1 where the stack could not start."""
    with only_one(place) as mine:
        return asyncio.run(supervise(place, public_port, lan)) if mine else 0
