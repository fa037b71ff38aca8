"""Finds the servers' programs, and installs the distribution's packages where they are missing.

Only root on Debian or Ubuntu installs anything. While apt runs, a `policy-rc.d` that answers 101 ("forbidden") keeps it
from starting the daemons of what it installs: ours are private child processes on other ports.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import SetupError

DOCKER_HINT = "docker compose up"
POLICY = Path("/usr/sbin/policy-rc.d")
FORBID_DAEMONS = "#!/bin/sh\n# Put here by Presence's deploy/local for the time of one apt-get run.\nexit 101\n"
LOCK = Path("/run/presence-apt.lock")
APT = ("apt-get", "-y", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """A program, the Debian package that has it, and the folders outside PATH where distributions put it."""

    name: str
    package: str
    folders: tuple[str, ...] = ()  # glob patterns, absolute; the highest version wins


POSTGRES = Program("postgres", "postgresql", ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/bin"))
PSQL = Program("psql", "postgresql-client", ("/opt/homebrew/bin",))
REDIS = Program("redis-server", "redis-server", ("/opt/homebrew/bin",))
RABBITMQ = Program("rabbitmq-server", "rabbitmq-server", ("/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin"))
RABBITMQCTL = Program("rabbitmqctl", "rabbitmq-server", ("/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin"))
EPMD = Program("epmd", "erlang-base", ("/usr/lib/erlang/bin", "/opt/homebrew/bin"))
CADDY = Program("caddy", "caddy", ("/opt/homebrew/bin",))
TURNSERVER = Program("turnserver", "coturn", ("/opt/homebrew/bin",))


def find(program: Program) -> Path | None:
    """Returns the program's path, or None. Listed folders come first: /usr/sbin/rabbitmq-server is only a wrapper."""
    for pattern in program.folders:
        for folder in sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True):
            if os.access(folder / program.name, os.X_OK):
                return folder / program.name
    path = shutil.which(program.name)
    return Path(path) if path else None


def ensure(programs: Iterable[Program], say: Say = lambda _: None) -> None:
    """Make sure that every program is on this machine, with one apt-get run for all that are missing.

    Raises SetupError, naming what to install, where that is not possible.
    """
    missing = [program for program in programs if find(program) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SetupError(missing_text(missing))
    install(sorted({program.package for program in missing}), say)
    still = [program for program in missing if find(program) is None]
    if still:
        raise SetupError(missing_text(still))


def missing_text(programs: Iterable[Program]) -> str:
    """One sentence: what is missing and the two ways out."""
    packages = sorted({program.package for program in programs})
    sudo = f"sudo apt-get install {' '.join(packages)}"
    return (
        f"This machine has no {', '.join(sorted({p.name for p in programs}))}: install {' '.join(packages)} "
        f"(Debian or Ubuntu: {sudo}), or run the stack in Docker: {DOCKER_HINT}"
    )


def install(packages: list[str], say: Say = lambda _: None) -> None:
    """Install Debian packages without starting their daemons. Raises SetupError with apt's last words."""
    say(f"installing {' '.join(packages)} (apt-get, once)")
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with daemons_forbidden():
            _apt("update", check=False)  # a stale list may still do; the install decides
            _apt("install", "--no-install-recommends", *packages)


def _apt(*arguments: str, check: bool = True) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([*APT, *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode != 0:
        words = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise SetupError(f"apt-get {' '.join(arguments)} failed ({words}): repair apt, or use Docker: {DOCKER_HINT}")


@contextlib.contextmanager
def daemons_forbidden(policy: Path = POLICY) -> Iterator[None]:
    """Put a forbidding `policy-rc.d` in place; what was there before comes back afterwards, even on an error."""
    aside = policy.with_name(f"{policy.name}.presence-aside")
    if not aside.exists() and (policy.exists() or policy.is_symlink()):
        policy.rename(aside)  # one that lies aside already is the original: a run before us was killed
    try:
        policy.write_text(FORBID_DAEMONS)
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)
        if aside.exists() or aside.is_symlink():
            aside.rename(policy)


def _version(folder: Path) -> tuple[int, ...]:
    """The numbers in a folder's name: /usr/lib/postgresql/15/bin → (15,)."""
    digits = "".join(char if char.isdigit() else " " for char in str(folder))
    return tuple(int(number) for number in digits.split())
