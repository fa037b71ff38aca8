"""A private Redis: no files, no persistence; live state is rebuilt by the replicas."""

from deploy.local.guardian import Guardian
from deploy.local.packages import REDIS, Program, ensure, find
from deploy.local.probes import exchange
from deploy.local.processes import Launch
from deploy.local.servers.base import Process, plain_environment
from deploy.local.workplace import Workplace, hand_over, system_user


class Redis(Process):
    """Redis on a loopback port. `databases` is how many numbered key spaces it has."""

    programs: tuple[Program, ...] = (REDIS,)

    def __init__(self, place: Workplace, guardian: Guardian, port: int, databases: int = 16) -> None:
        super().__init__("redis", place, guardian)
        self.port = port
        self.databases = databases
        self._user = system_user("redis")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        ensure(self.programs)
        hand_over(self.folder, self._user)

    def launch(self) -> Launch:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": ".",
            "save": "",
            "appendonly": "no",
            "databases": self.databases,
            "daemonize": "no",
            "supervised": "no",
        }
        command = [str(find(REDIS)), *(word for key, value in options.items() for word in (f"--{key}", str(value)))]
        return Launch(tuple(command), self.folder, plain_environment(), self._user)

    async def is_ready(self) -> bool:
        return (await exchange(self.port, b"PING\r\n")).startswith(b"+PONG")
