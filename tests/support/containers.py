"""PostgreSQL, Redis and RabbitMQ of a test run in containers, of the images that deploy/compose names.

Each is the server of deploy/local with another source: the same URLs, probes and verbs, so no test knows the
difference. Caddy, coturn and the stand-in Hive node stay local processes: files and addresses of this machine
configure them.
"""

import asyncio
import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import cast

from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from deploy.local.errors import SetupError, StartError
from deploy.local.guardian import REPOSITORY, Guardian
from deploy.local.packages import Program
from deploy.local.ports import free_port
from deploy.local.servers import postgres
from deploy.local.servers.base import Process
from deploy.local.servers.postgres import Postgres
from deploy.local.servers.rabbitmq import ADMIN, RabbitMQ
from deploy.local.servers.redis import Redis
from deploy.local.workplace import Workplace
from deploy.logins.rabbitmq import VHOST

COMPOSE = REPOSITORY / "deploy" / "compose" / "compose.yml"
LOOPBACK = "127.0.0.1"
OF_A_LOCAL_PROCESS = ("listen_addresses", "unix_socket_directories")  # options that the image sets by itself
ERLANG = "+S 1:1 +sbwt none"  # one scheduler that sleeps when idle, as in deploy/local


def image(name: str) -> str:
    """The image that deploy/compose uses, with its tag: `redis` → `redis:8`. The versions stand there alone."""
    tags = re.findall(rf"^\s+image: ({name}:[^\s@]+)", COMPOSE.read_text(), re.MULTILINE)
    if len(tags) != 1:
        raise SetupError(f"{COMPOSE} names {len(tags)} images of {name} instead of one")
    return str(tags[0])


def require_engine() -> None:
    """Raises SetupError where no Docker engine answers."""
    try:
        client = DockerClient().client
        client.ping()
        client.close()
    except DockerException as error:
        raise SetupError(
            "Servers from containers were asked for and no Docker engine answers: start one, or run the tests "
            f"without SERVERS=containers ({error})"
        ) from error


class Contained(Process):
    """A server in a container. It keeps its data and its port through `stop`, `kill` and `start` until `discard`."""

    programs: tuple[Program, ...] = ()  # nothing has to be on this machine
    ready_seconds = 120.0
    _container: DockerContainer | None = None

    @abstractmethod
    def container(self) -> DockerContainer:
        """The container to start, its ports published."""

    @property
    def alive(self) -> bool:
        if self._container is None:
            return False
        container = self._container.get_wrapped_container()
        container.reload()
        return bool(container.status == "running")

    @property
    def exit_code(self) -> int | None:
        if self._container is None or self.alive:
            return None
        return int(self._container.get_wrapped_container().attrs["State"]["ExitCode"])

    async def start(self) -> None:
        """Returns when the server serves. Raises StartError, with the end of the container's output."""
        try:
            await asyncio.to_thread(self._run)
        except DockerException as error:
            raise StartError(self.name, str(error)) from error
        await self._wait_ready()

    async def stop(self) -> None:
        if self.alive and self._container:
            await asyncio.to_thread(self._container.get_wrapped_container().stop, timeout=int(self.stop_seconds))

    async def kill(self) -> None:
        if self.alive and self._container:
            await asyncio.to_thread(self._container.get_wrapped_container().kill)

    def discard(self) -> None:
        """Removes the container with its data. One that never started is fine."""
        if self._container is not None:
            self._container.stop()

    def _run(self) -> None:
        if self._container is None:
            self._container = self.container().start()
        else:
            self._container.get_wrapped_container().start()

    async def _fail(self, reason: str) -> None:
        if self._container is not None:
            self.child.log.write_bytes(b"".join(self._container.get_logs()))
        await super()._fail(reason)


class PostgresContainer(Contained, Postgres):
    """PostgreSQL without fsync."""

    def __init__(self, place: Workplace, guardian: Guardian) -> None:
        super().__init__(place, guardian, free_port(), durable=False)

    def container(self) -> DockerContainer:
        options = {name: value for name, value in self._options.items() if name not in OF_A_LOCAL_PROCESS}
        command = ["postgres", *(word for name, value in options.items() for word in ("-c", f"{name}={value}"))]
        settings = {
            "POSTGRES_USER": postgres.SUPERUSER,
            "POSTGRES_PASSWORD": self.place.secret("postgres_password"),
            "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C --no-sync",
        }
        return published(image("postgres"), {5432: self.port}, settings).with_command(command)


class RedisContainer(Contained, Redis):
    """Redis without persistence."""

    def __init__(self, place: Workplace, guardian: Guardian, passwords: Mapping[str, str], databases: int) -> None:
        super().__init__(place, guardian, free_port(), passwords, databases)

    def container(self) -> DockerContainer:
        command = ["redis-server", "--save", "", "--appendonly", "no", "--databases", str(self.databases)]
        for user in self.users:
            command += ["--user", *user.split()[1:]]
        return published(image("redis"), {6379: self.port}, {}).with_command(command)


class RabbitMQContainer(Contained, RabbitMQ):
    """RabbitMQ with its HTTP API, which the tests use to make virtual hosts."""

    def __init__(self, place: Workplace, guardian: Guardian, passwords: Mapping[str, str]) -> None:
        self._api_port = free_port()
        super().__init__(place, guardian, (free_port(), 0, 0), passwords, self._api_port)

    def container(self) -> DockerContainer:
        settings = {
            "RABBITMQ_DEFAULT_USER": ADMIN,
            "RABBITMQ_DEFAULT_PASS": self._password,
            "RABBITMQ_DEFAULT_VHOST": VHOST,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
        }
        ports = {5672: self.port, 15672: self._api_port}
        return published(f"{image('rabbitmq')}-management", ports, settings)

    def control(self, *words: str) -> None:
        assert self._container
        code, output = self._container.exec(["rabbitmqctl", *words])
        assert code == 0, output


def stores(
    place: Workplace, guardian: Guardian, passwords: Mapping[str, str], redis_databases: int
) -> dict[str, Contained]:
    """The three by name, not started yet."""
    return {
        "postgres": PostgresContainer(place, guardian),
        "redis": RedisContainer(place, guardian, passwords, redis_databases),
        "rabbitmq": RabbitMQContainer(place, guardian, passwords),
    }


def published(name: str, ports: Mapping[int, int], environment: Mapping[str, str]) -> DockerContainer:
    """A container of an image, with its ports (inner → outer) on loopback only, and fixed: a restart keeps them."""
    container = DockerContainer(name, env=dict(environment))
    for inner, outer in ports.items():
        container.ports[f"{inner}/tcp"] = cast("int", (LOOPBACK, outer))  # docker takes the pair, the type does not
    return container
