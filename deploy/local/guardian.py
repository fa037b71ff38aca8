"""Ends a stack's processes when whoever started them dies without doing so (kill -9, a crashed test run).

A tiny process at the other end of a pipe. It is told `watch PID STARTED` and `forget PID`; when the pipe closes it ends
what it still watches. PR_SET_PDEATHSIG would not reach what the children start.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 5.0
REPOSITORY = Path(__file__).resolve().parents[2]


class Guardian:
    """Our end of the pipe. One for each process that starts children; started at the first use."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # the tests start servers in threads

    def watch(self, pid: int) -> None:
        """From now on the process group `pid` does not outlive us."""
        self._tell(f"watch {pid} {started(pid) or ''}\n")

    def forget(self, pid: int) -> None:
        """The process group is gone."""
        self._tell(f"forget {pid}\n")

    def close(self) -> None:
        """Let the guardian go; it first ends what was not forgotten."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                self._process.wait()
                self._process = None

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None:
                self._process = _spawn()
            assert self._process.stdin is not None  # noqa: S101 - for the type checker
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()


def _spawn() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local.guardian"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
        start_new_session=True,  # a Ctrl-C at the terminal is not for it
    )


def started(pid: int) -> str | None:
    """When a process started (clock ticks since boot; on other systems the date), None if it is gone or a zombie.

    With the pid it names a process for good: a pid alone may be used again.
    """
    if sys.platform != "linux":
        listing = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return listing.stdout.strip().replace(" ", "_") or None
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to every process of the group that `pid` leads; none left is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def group_exists(pid: int) -> bool:
    """Returns whether the group has any process left, zombies included."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_all(watched: dict[int, str]) -> None:
    """End process groups whose leader is still the process that was started: politely, then for good."""
    ours = [pid for pid, start in watched.items() if started(pid) == start]
    for pid in ours:
        signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(started(pid) for pid in ours):
        time.sleep(0.05)
    for pid in ours:
        signal_group(pid, signal.SIGKILL)


def main() -> None:
    """Read lines until the pipe closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watched: dict[int, str] = {}
    for line in sys.stdin:
        verb, pid, *start = line.split()
        if verb == "watch" and start:
            watched[int(pid)] = start[0]
        else:
            watched.pop(int(pid), None)
    end_all(watched)


if __name__ == "__main__":
    main()
