"""One child process: started in its own group with its output in a log, stopped with everything it started.

Plain `subprocess` and polling, not asyncio's child watchers, so that a child may be started in one event loop and
stopped in another (the tests boot servers in a thread), under uvloop too.
"""

import asyncio
import contextlib
import pwd
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.guardian import Guardian, end_all, group_exists, signal_group, started
from deploy.local.workplace import Workplace

POLL_SECONDS = 0.05
BURIAL_SECONDS = 0.3
LOG_LIMIT_BYTES = 5_000_000


@dataclass(frozen=True)
class Launch:
    """A command to run. `user` None is ourselves; `env` is the whole environment of the child."""

    command: tuple[str, ...]
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)
    user: str | None = None


class Child:
    """A named child process that may be started again and again."""

    def __init__(self, name: str, place: Workplace, guardian: Guardian) -> None:
        self.name = name
        self.log = place.log_file(name)
        self._pid_file = place.run / f"{name}.pid"
        self._guardian = guardian
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: the signal's number); None while it runs or before its first start."""
        return self._process.poll() if self._process is not None else None

    def start(self, launch: Launch) -> None:
        """Start it; returns at once. Raises OSError where the program cannot be run."""
        rotate(self.log)
        user, group, others = identity(launch.user)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                launch.command,
                cwd=launch.cwd,
                env=launch.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=others,
            )
        self._guardian.watch(self._process.pid)
        write_pid_file(self._pid_file, self._process.pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        if self._process is not None:
            signal_group(self._process.pid, number)

    async def stop(self, number: signal.Signals = signal.SIGTERM, grace_seconds: float = 10.0) -> None:
        """Ask it to end; after the grace kill what is left of its group. Nothing running is fine."""
        if self._process is None:
            return
        self.send(number)
        deadline = time.monotonic() + grace_seconds
        while self.alive and time.monotonic() < deadline:  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(POLL_SECONDS)
        await self._finish(self._process)

    async def kill(self) -> None:
        """SIGKILL to the whole group: no chance to tidy up, as in a crash."""
        if self._process is not None:
            await self._finish(self._process)

    async def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the group until its leader is gone; the others need a moment at most (init may be slow to bury them)."""
        signal_group(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        deadline = time.monotonic() + BURIAL_SECONDS
        while group_exists(process.pid) and time.monotonic() < deadline:
            signal_group(process.pid, signal.SIGKILL)
            await asyncio.sleep(POLL_SECONDS)
        self._guardian.forget(process.pid)
        self._pid_file.unlink(missing_ok=True)


def write_pid_file(file: Path, pid: int) -> None:
    """Remember a process by its pid and start time, so that a reused pid is never taken for it."""
    file.write_text(f"{pid} {started(pid) or '-'}\n")


def read_pid_file(file: Path) -> int | None:
    """The pid of a process that still is the one written down, else None."""
    with contextlib.suppress(OSError, ValueError):
        pid, start = file.read_text().split()
        if started(int(pid)) == start:
            return int(pid)
    return None


def end_leftovers(place: Workplace) -> list[str]:
    """End the processes that a killed supervisor left, and delete stale pid files. Returns the names of those ended."""
    files = sorted(place.run.glob("*.pid"))
    living = {file: pid for file in files if (pid := read_pid_file(file)) is not None}
    end_all({pid: started(pid) or "-" for pid in living.values()})
    for file in files:
        file.unlink(missing_ok=True)
    return [file.stem for file in living]


def rotate(log: Path) -> None:
    """Keep one older log beside a large one."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))


def identity(user: str | None) -> tuple[int | None, int | None, list[int] | None]:
    """Popen's user, group and extra_groups for a child that runs as that user, with its own group only."""
    if user is None:
        return None, None, None
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid, []
