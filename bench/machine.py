"""The machine: which process runs on which core, how many files may be open, and what it is called in a report."""

import contextlib
import os
import platform
import resource
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

type Cores = frozenset[int]

ALL: Cores = frozenset(os.sched_getaffinity(0))
SERVER: Cores = frozenset(sorted(ALL)[:1])  # one core for the server that is measured
OTHERS: Cores = ALL - SERVER or ALL  # load generator, databases, everything else


def pin(pid: int, cores: Cores) -> None:
    """Let a process, with all its threads, run on these cores only. One that is gone is fine."""
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(thread.name), cores)


def session_of(leader: int) -> Iterator[int]:
    """All processes of the session that `leader` began."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(process.name)) == leader:
                yield int(process.name)


def pin_sessions(leaders: Iterable[int], cores: Cores) -> None:
    for leader in leaders:
        for pid in session_of(leader):
            pin(pid, cores)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; 0 if it is gone."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def raise_file_limit() -> None:
    """As many open files as the kernel allows; children inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def description() -> dict[str, str]:
    """Returns the facts that a reader needs to judge the figures."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {len(ALL)} cores",
        "kernel": platform.release(),
        "load before": f"{os.getloadavg()[0]:.2f} (1 minute)",
        "python": f"{platform.python_version()}, uvloop {version('uvloop')}, aiohttp {version('aiohttp')}, "
        f"python-socketio {version('python-socketio')}",
        "node": _output("node", "--version"),
        "commit": _output("git", "describe", "--always", "--dirty"),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"
