"""A private RabbitMQ node with its own epmd (Erlang's name service), on loopback ports.

Two things differ from what the distribution's service does. The wrapper in /usr/sbin is passed by, so the Erlang
machine is our own child and a signal reaches it. And epmd is started by us, in the foreground and on a private port:
the one that Erlang would start by itself outlives the node and is shared with others on the machine.
"""

import asyncio
import base64
import json
import subprocess
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from deploy.local.errors import SetupError, StartError
from deploy.local.guardian import Guardian
from deploy.local.packages import EPMD, RABBITMQ, RABBITMQCTL, Program, ensure, find
from deploy.local.probes import exchange
from deploy.local.processes import POLL_SECONDS, Child, Launch, identity
from deploy.local.servers.base import Process, exit_text, plain_environment
from deploy.local.workplace import Workplace, hand_over, replace_text, system_user
from deploy.logins.rabbitmq import VHOST, definitions, permission, user

ADMIN = "presence"  # a person at the keyboard, and the tests; no process of ours
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
EPMD_NAMES = b"\x00\x01n"  # a request of epmd's protocol: which nodes are there
METHOD_FRAME = b"\x01"
# One scheduler that does not spin: two cores serve the whole stack. No epmd but ours, nothing off loopback.
ERLANG = "+S 1:1 +sbwt none -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"


class RabbitMQ(Process):
    """One node. `passwords` are the services'; `management_port` switches on the HTTP API, for tests."""

    programs: tuple[Program, ...] = (RABBITMQ, EPMD)
    ready_seconds = 120.0
    stop_seconds = 20.0

    def __init__(
        self,
        place: Workplace,
        guardian: Guardian,
        ports: tuple[int, int, int],
        passwords: Mapping[str, str],
        management_port: int | None = None,
    ) -> None:
        """`ports`: AMQP, Erlang distribution, epmd."""
        super().__init__("rabbitmq", place, guardian)
        self.port, self._distribution_port, self._epmd_port = ports
        self._passwords = passwords
        self._management_port = management_port
        self._epmd = Child("epmd", place, guardian)
        self._user = system_user("rabbitmq")

    @property
    def url(self) -> str:
        """The administrator's URL."""
        return self.url_of(VHOST)

    def url_of(self, vhost: str) -> str:
        """The administrator's URL of a virtual host."""
        return f"amqp://{ADMIN}:{self._password}@127.0.0.1:{self.port}/{vhost}"

    @property
    def _password(self) -> str:
        return self.place.secret("rabbitmq_password")

    def prepare(self) -> None:
        ensure(self.programs)
        hand_over(self.folder, self._user)
        replace_text(self.folder / "definitions.json", json.dumps(self.definitions(VHOST)))
        (self.folder / "rabbitmq.conf").write_text("\n".join(self._configuration()) + "\n")
        plugins = "[rabbitmq_management]." if self._management_port else "[]."
        (self.folder / "enabled_plugins").write_text(plugins)
        (self.folder / "rabbitmq-env.conf").touch()
        hand_over(self.folder, self._user)

    def launch(self) -> Launch:
        return Launch((str(find(RABBITMQ)),), self.folder, self._environment(), self._user)

    async def start(self) -> None:
        await asyncio.to_thread(self._epmd_start)
        await self._epmd_ready()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        await self._epmd.stop()

    async def kill(self) -> None:
        await super().kill()
        await self._epmd.kill()

    async def is_ready(self) -> bool:
        """AMQP's first frame, connection.start: the listener opens last."""
        return (await exchange(self.port, AMQP_HEADER)).startswith(METHOD_FRAME)

    def definitions(self, vhost: str) -> dict[str, Any]:
        """Returns what Presence needs on a virtual host, and the administrator."""
        made = definitions(self._passwords, vhost)
        made["users"].append(user(ADMIN, self._password, "administrator"))
        made["permissions"].append(permission(ADMIN, vhost, EVERYTHING))
        return made

    def control(self, *words: str) -> None:
        """Run rabbitmqctl on the node. Blocking, some seconds."""
        user, group, others = identity(self._user)
        command = (str(find(RABBITMQCTL)), *words)
        subprocess.run(
            command,
            env=self._environment(),
            user=user,
            group=group,
            extra_groups=others,
            capture_output=True,
            check=True,
        )

    def add_vhost(self, name: str) -> str:
        """Make a virtual host and return its URL. Blocking, about 0.2 s; needs the management port."""
        self.load(self.definitions(name))
        return self.url_of(name)

    def load(self, definitions: Mapping[str, Any]) -> None:
        """Make what is not there yet. Blocking; needs the management port."""
        self._api("POST", "definitions", definitions)

    def remove_vhost(self, name: str) -> None:
        """Delete a virtual host with its queues and close its connections."""
        self._api("DELETE", f"vhosts/{name}")

    def _api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        address = f"http://127.0.0.1:{self._management_port}/api/{path}"
        credentials = base64.b64encode(f"{ADMIN}:{self._password}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        request = Request(address, json.dumps(body or {}).encode(), headers, method=method)
        try:
            with urlopen(request, timeout=30) as answer:  # noqa: S310 - our own loopback address
                answer.read()
        except HTTPError as error:
            said = error.read().decode(errors="replace")
            raise SetupError(f"RabbitMQ answers {method} {address} with {error.code}: {said}") from error

    def _epmd_start(self) -> None:
        if not self._epmd.alive:
            ensure(self.programs)
            hand_over(self.folder, self._user)
            command = (str(find(EPMD)), "-port", str(self._epmd_port), "-address", "127.0.0.1")
            self._epmd.start(Launch(command, self.folder, plain_environment(), self._user))

    async def _epmd_ready(self) -> None:
        """Wait for it: an Erlang that finds no epmd starts one of its own."""
        while not await exchange(self._epmd_port, EPMD_NAMES):
            if not self._epmd.alive:
                raise StartError("epmd", f"it ended with {exit_text(self._epmd.exit_code)}", self._epmd.log)
            await asyncio.sleep(POLL_SECONDS)

    def _configuration(self) -> list[str]:
        lines = [
            f"listeners.tcp.local = 127.0.0.1:{self.port}",
            f"load_definitions = {self.folder / 'definitions.json'}",
            "disk_free_limit.absolute = 50MB",
            "log.console = true",
            "log.console.level = warning",
            "log.file = false",
        ]
        if self._management_port:
            lines += [
                "management.tcp.ip = 127.0.0.1",
                f"management.tcp.port = {self._management_port}",
                "management_agent.disable_metrics_collector = true",
            ]
        return lines

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return plain_environment(
            HOME=str(folder),  # where the Erlang cookie goes
            RABBITMQ_NODENAME=f"presence-{self.place.tag}@localhost",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self._distribution_port),
            ERL_EPMD_PORT=str(self._epmd_port),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_MNESIA_BASE=str(folder / "mnesia"),
            RABBITMQ_LOG_BASE=str(folder / "log"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "enabled_plugins"),
            RABBITMQ_CONF_ENV_FILE=str(folder / "rabbitmq-env.conf"),
            RABBITMQ_CONFIG_FILE=str(folder / "rabbitmq.conf"),
            RABBITMQ_GENERATED_CONFIG_DIR=str(folder / "generated"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=ERLANG,
            RUNNING_UNDER_SYSTEMD="true",  # the start script then becomes the Erlang machine instead of waiting for it
        )
