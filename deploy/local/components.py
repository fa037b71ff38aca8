"""The components of a stack that are not backing servers: our own services, one-off steps, servers given by a URL."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from deploy.local.errors import SetupError, StartError
from deploy.local.guardian import REPOSITORY, Guardian
from deploy.local.probes import can_connect, http_status
from deploy.local.processes import Launch
from deploy.local.servers.base import Process, exit_text
from deploy.local.workplace import Workplace

DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}


class Service(Process):
    """A process of ours, `python -m MODULE`, ready when its operations port says so."""

    stop_seconds = 20.0  # longer than the services' own drain deadline

    def __init__(
        self,
        name: str,
        place: Workplace,
        guardian: Guardian,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        ready: tuple[int, str],
    ) -> None:
        """`command` follows the interpreter; `ready` is the port and path that answer 200."""
        super().__init__(name, place, guardian)
        self._command = command
        self._environment = environment
        self._ready = ready

    def launch(self) -> Launch:
        return Launch((sys.executable, *self._command), REPOSITORY, dict(self._environment))

    async def is_ready(self) -> bool:
        return await http_status(*self._ready) == 200


class Task(Process):
    """A command that runs to its end and must succeed. Afterwards it counts as alive: nothing to watch."""

    ready_seconds = 120.0

    def __init__(
        self,
        name: str,
        place: Workplace,
        guardian: Guardian,
        command: tuple[str, ...],
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(name, place, guardian)
        self._command = command
        self._environment = environment

    @property
    def alive(self) -> bool:
        return True

    def launch(self) -> Launch:
        return Launch((sys.executable, *self._command), REPOSITORY, dict(self._environment))

    async def is_ready(self) -> bool:
        """Raises StartError as soon as it has failed."""
        if self.child.alive:
            return False
        if self.child.exit_code != 0:
            raise StartError(self.name, f"it ended with {exit_text(self.child.exit_code)}", self.child.log)
        await self.child.stop()
        return True


class Step:
    """Something done in this process while the stack starts."""

    alive = True

    def __init__(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        self.name = name
        self._run = run

    async def start(self) -> None:
        """Run it. Raises StartError with what went wrong."""
        try:
            await self._run()
        except SetupError:
            raise
        except Exception as error:
            raise StartError(self.name, f"{type(error).__name__}: {error}") from error

    async def stop(self) -> None:
        """Nothing stays behind."""

    async def kill(self) -> None:
        """Nothing stays behind."""


class Given:
    """A server that somebody else runs, named by a URL in the environment."""

    alive = True  # not ours to watch: the services cope with its absence, and say so

    def __init__(self, name: str, setting: str, url: str) -> None:
        self.name = name
        self._setting = setting
        self.url = url

    async def start(self) -> None:
        """Check that something listens there. Raises SetupError."""
        parts = urlsplit(self.url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        if not await can_connect(parts.hostname or "", port):
            raise SetupError(
                f"Nothing answers at {parts.hostname}:{port}, where {self._setting} points: "
                f"start that server, or unset {self._setting} to have a private one"
            )

    async def stop(self) -> None:
        """Not ours to stop."""

    async def kill(self) -> None:
        """Not ours to kill."""


def own_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that our services inherit (default: ours), without what is set to nothing."""
    return {name: value for name, value in (os.environ if environ is None else environ).items() if value}
