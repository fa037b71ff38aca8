"""Free ports, picked once and remembered, and who holds one that is taken."""

import contextlib
import json
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

from deploy.local.errors import SetupError
from deploy.local.workplace import replace_text

LOW, HIGH = 20000, 31999  # below the range from which the kernel takes ports for outgoing connections
LISTEN = "0A"  # state of a listening socket in /proc/net/tcp


class Ports:
    """Ports by name, kept in `ports.json`; one that is taken meanwhile is picked anew by `reserve`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = _read(file)
        self._checked: set[str] = set()

    def reserve(self, name: str) -> int:
        """The port of `name`. The first call by this process checks that it is free. Our processes must not run yet."""
        if name not in self._checked:
            port = self._known.get(name)
            if port is None or not is_free(port):
                self._known[name] = self._pick()
                replace_text(self._file, json.dumps(self._known, indent=1))
            self._checked.add(name)
        return self._known[name]

    def _pick(self) -> int:
        taken = set(self._known.values())
        while True:
            port = random.randint(LOW, HIGH)  # noqa: S311 - spread, not secrecy
            if port not in taken and is_free(port):
                return port


def free_port() -> int:
    """A port that nobody listens on now."""
    while True:
        port = random.randint(LOW, HIGH)  # noqa: S311
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Returns whether a server could listen on the port, on loopback and on all addresses, IPv4 and IPv6."""
    return all(_can_bind(family, host, port) for family, host in _places())


def _places() -> Iterator[tuple[socket.AddressFamily, str]]:
    yield socket.AF_INET, "127.0.0.1"
    yield socket.AF_INET, "0.0.0.0"  # noqa: S104 - tried, never listened on
    if has_ipv6_loopback():
        yield socket.AF_INET6, "::1"


def has_ipv6_loopback() -> bool:
    """Returns whether `localhost` may also mean ::1 here."""
    return _can_bind(socket.AF_INET6, "::1", 0)


def _can_bind(family: socket.AddressFamily, host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        probe.bind((host, port))
        return True
    return False


def require_free(port: int, setting: str) -> None:
    """Raise SetupError naming the port, who holds it if /proc tells, and the setting that changes it."""
    if is_free(port):
        return
    other = next(candidate for candidate in range(port + 1, port + 1000) if is_free(candidate))
    raise SetupError(
        f"Port {port} is taken by {holder(port) or 'another program'}: "
        f"stop it, or choose another port, for example {setting}={other} make up"
    )


def holder(port: int) -> str | None:
    """`name (pid 123)` of who listens on the port, or None where /proc does not tell (macOS, other users)."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net") / table, port)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for entry in (process / "fd").iterdir():
                if os.readlink(entry) in inodes:
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _listening(table: Path, port: int) -> Iterator[str]:
    """The sockets in one of /proc/net's tables that listen on the port, as /proc/*/fd names them."""
    with contextlib.suppress(OSError):
        for row in table.read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


def _read(file: Path) -> dict[str, int]:
    """Returns the remembered ports; none from a damaged file."""
    try:
        return {str(name): int(port) for name, port in json.loads(file.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}
