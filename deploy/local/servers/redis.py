"""A private Redis: no persistence; live state is rebuilt by the replicas. Each service has a user of its own."""

from collections.abc import Mapping

from deploy.local.guardian import Guardian
from deploy.local.packages import REDIS, Program, ensure, find
from deploy.local.probes import exchange
from deploy.local.processes import Launch
from deploy.local.servers.base import Process, plain_environment
from deploy.local.workplace import Workplace, hand_over, replace_text, system_user
from deploy.logins.redis import ADMIN, users


class Redis(Process):
    """Redis on a loopback port. `passwords` are the services'; `databases` is how many numbered key spaces it has."""

    programs: tuple[Program, ...] = (REDIS,)

    def __init__(
        self, place: Workplace, guardian: Guardian, port: int, passwords: Mapping[str, str], databases: int = 16
    ) -> None:
        super().__init__("redis", place, guardian)
        self.port = port
        self._passwords = passwords
        self.databases = databases
        self._user = system_user("redis")

    @property
    def url(self) -> str:
        """The administrator's URL of the first key space."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """The administrator's URL of a key space."""
        return f"redis://{ADMIN}:{self._admin_password}@127.0.0.1:{self.port}/{database}"

    @property
    def users(self) -> list[str]:
        """The lines of the ACL file."""
        return users(self._passwords, self._admin_password)

    @property
    def _admin_password(self) -> str:
        return self.place.secret("redis_password")

    def prepare(self) -> None:
        ensure(self.programs)
        hand_over(self.folder, self._user)
        replace_text(self.folder / "users.acl", "\n".join(self.users) + "\n")
        hand_over(self.folder, self._user)

    def launch(self) -> Launch:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": ".",
            "aclfile": "users.acl",
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
