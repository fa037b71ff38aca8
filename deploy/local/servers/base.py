"""The interface of a stack's components, and the common part of those that are a process."""

import asyncio
import os
import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

from deploy.local.errors import StartError
from deploy.local.guardian import Guardian
from deploy.local.packages import Program
from deploy.local.processes import POLL_SECONDS, Child, Launch
from deploy.local.workplace import Workplace

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "PYTHONDONTWRITEBYTECODE")


class Component(Protocol):
    """A part of the stack. After `start` it is ready; `stop` and `start` again keep its data."""

    @property
    def name(self) -> str: ...

    @property
    def alive(self) -> bool:
        """False once it ended without being asked to."""

    async def start(self) -> None:
        """Returns when it is ready to serve. Raises StartError, with the end of its log, or SetupError."""

    async def stop(self) -> None:
        """End it in order, with everything it started. Not running is fine."""

    async def kill(self) -> None:
        """End it at once, as a crash would."""


class Process(ABC):
    """A component that is one child process."""

    programs: tuple[Program, ...] = ()  # what must be on the machine
    ready_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0

    def __init__(self, name: str, place: Workplace, guardian: Guardian) -> None:
        self._name = name
        self.place = place
        self.child = Child(name, place, guardian)

    @property
    def name(self) -> str:
        return self._name

    @property
    def alive(self) -> bool:
        return self.child.alive

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: the signal's number); None while it runs or before its first start."""
        return self.child.exit_code

    @property
    def folder(self) -> Path:
        """Its own data folder."""
        return self.place.data / self._name

    def prepare(self) -> None:  # noqa: B027 - many need nothing
        """Puts on disk what the process needs. Called before each start, in a thread; blocking is fine."""

    @abstractmethod
    def launch(self) -> Launch:
        """Returns the command to run."""

    @abstractmethod
    async def is_ready(self) -> bool:
        """Returns whether it serves now. Must not raise for a server that is still starting."""

    async def start(self) -> None:
        """Prepare, start, and wait until it is ready. Raises StartError or SetupError."""
        await asyncio.to_thread(self.prepare)
        try:
            self.child.start(self.launch())
        except OSError as error:
            raise StartError(self.name, str(error)) from error
        await self._wait_ready()

    async def stop(self) -> None:
        await self.child.stop(self.stop_signal, self.stop_seconds)

    async def kill(self) -> None:
        await self.child.kill()

    async def _wait_ready(self) -> None:
        deadline = time.monotonic() + self.ready_seconds
        while not await self.is_ready():
            if not self.alive:
                await self._fail(f"it ended with {exit_text(self.exit_code)}")
            if time.monotonic() > deadline:
                await self._fail(f"it was not ready after {self.ready_seconds:.0f} seconds")
            await asyncio.sleep(POLL_SECONDS)

    async def _fail(self, reason: str) -> None:
        await self.kill()
        raise StartError(self.name, reason, self.child.log)


def exit_text(code: int | None) -> str:
    """How a process ended, in words."""
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


def plain_environment(**extra: str) -> dict[str, str]:
    """The few variables of ours that a server may see, and its own. Nothing set for another server leaks in."""
    return {**{name: os.environ[name] for name in PASSED_ON if name in os.environ}, **extra}
