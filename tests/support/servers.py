"""Real servers for the tests: one set a run, in a temporary folder, on free ports; none is left afterwards.

PRESENCE_TEST_SERVERS (`make test SERVERS=containers`) takes PostgreSQL, Redis and RabbitMQ from containers instead of
local processes; fixtures and tests are the same.

A pytest plugin. What a run needs is seen from the fixtures that its tests ask for, and boots in the background while
the first tests run (RabbitMQ takes eight seconds). A server that cannot be had fails the tests; nothing is skipped.

One a run:      servers, postgres_server, redis_server, rabbitmq_server, caddy_server, hive_url, run_stack
As good as new:  database_url (migrated), empty_database_url, primary_url (seeded), amqp_url, redis_url
"""

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from deploy.local.components import Service, own_environment
from deploy.local.databases import drop_database, make_database, make_role
from deploy.local.errors import SetupError
from deploy.local.guardian import REPOSITORY, Guardian
from deploy.local.packages import ensure
from deploy.local.ports import free_port
from deploy.local.primary import seed
from deploy.local.servers.base import Process
from deploy.local.servers.caddy import Caddy
from deploy.local.servers.postgres import Postgres
from deploy.local.servers.rabbitmq import RabbitMQ
from deploy.local.servers.redis import Redis
from deploy.local.stack import ALEMBIC, Stack
from deploy.local.workplace import Workplace
from deploy.logins.passwords import WITH_DATABASE, WITH_LOGIN, variable, with_login
from deploy.logins.postgres import set_logins
from tests.support import halls
from tests.support.databases import EmptiedAgain, UsedAgain
from tests.support.quick import NotQuick

OWNER, PASSWORD = "replica_user", "test"
PASSWORDS = {service: f"test-{service}" for service in WITH_LOGIN}
PROXY_SECRET = "test-proxy"
REDIS_DATABASES = 512
KEPT_LOGS = REPOSITORY / ".local" / "test-logs"
SOURCE = "PRESENCE_TEST_SERVERS"
PROCESSES, CONTAINERS = "processes", "containers"
MIGRATED, SEEDED = "template_migrated", "template_primary"

type RunStack = Callable[..., AbstractAsyncContextManager[Stack]]


def source(environment: Mapping[str, str]) -> str:
    """Returns where the stores come from: `processes` (default) or `containers`. Raises SetupError."""
    name = environment.get(SOURCE) or PROCESSES
    if name not in (PROCESSES, CONTAINERS):
        raise SetupError(f"{SOURCE} is {name!r}: it must be {PROCESSES} or {CONTAINERS}")
    return name


def as_service(url: str, service: str) -> str:
    """Returns the URL of a Redis or RabbitMQ of the run with the login of a service."""
    return with_login(url, service, PASSWORDS[service])


def _containers() -> ModuleType:
    """The module that speaks to Docker, imported by runs that use it only."""
    from tests.support import containers

    return containers


class Servers:
    """The run's servers. Each boots at its first use, or before when `boot` is told."""

    def __init__(self) -> None:
        origin = source(os.environ)
        if origin == CONTAINERS:
            _containers().require_engine()
        self.place = Workplace(Path(tempfile.mkdtemp(prefix="presence-test-")) / "stack")
        self.guardian = Guardian()
        place, guardian = self.place, self.guardian
        self._exits = ExitStack()
        self._hive_port = free_port()
        hive = ("-m", "deploy.local.hive_node", str(self._hive_port))
        self._servers: dict[str, Process] = {
            **self._stores(origin),
            "caddy": Caddy(
                place,
                guardian,
                free_port(),
                (free_port(), free_port(), free_port()),
                PROXY_SECRET,
                place.root / "static",
            ),
            "hive": Service("hive", place, guardian, hive, own_environment(), (self._hive_port, "/")),
        }
        self._threads = ThreadPoolExecutor(max_workers=len(self._servers))
        self._booting: dict[str, Future[None]] = {}
        self._templates: dict[str, asyncio.Task[None]] = {}
        self.migrated = UsedAgain(self.new_database, self.as_superuser, self.drop)
        self.primaries = UsedAgain(self.new_primary, self.as_superuser, self.drop)
        self.empty = EmptiedAgain(lambda: self.new_database(migrated=False), self.as_superuser, self.drop)
        self._numbers = itertools.count(1)

    def _stores(self, origin: str) -> dict[str, Process]:
        """PostgreSQL, Redis and RabbitMQ, not started yet."""
        place, guardian = self.place, self.guardian
        if origin == CONTAINERS:
            stores = _containers().stores(place, guardian, PASSWORDS, REDIS_DATABASES)
            for server in stores.values():
                self._exits.callback(server.discard)
            return dict(stores)
        return {
            "postgres": Postgres(place, guardian, free_port(), durable=False),
            "redis": Redis(place, guardian, free_port(), PASSWORDS, REDIS_DATABASES),
            "rabbitmq": RabbitMQ(place, guardian, (free_port(), free_port(), free_port()), PASSWORDS, free_port()),
        }

    def boot(self, name: str) -> None:
        """Start a server in the background, once."""
        ensure(program for server in self._servers.values() for program in server.programs)
        if name not in self._booting:
            self._booting[name] = self._threads.submit(lambda: asyncio.run(self._servers[name].start()))

    def _ready(self, name: str) -> Process:
        self.boot(name)
        self._booting[name].result()
        return self._servers[name]

    @property
    def postgres(self) -> Postgres:
        server = self._ready("postgres")
        assert isinstance(server, Postgres)
        return server

    @property
    def redis(self) -> Redis:
        server = self._ready("redis")
        assert isinstance(server, Redis)
        return server

    @property
    def rabbitmq(self) -> RabbitMQ:
        server = self._ready("rabbitmq")
        assert isinstance(server, RabbitMQ)
        return server

    @property
    def caddy(self) -> Caddy:
        server = self._ready("caddy")
        assert isinstance(server, Caddy)
        return server

    @property
    def hive_url(self) -> str:
        self._ready("hive")
        return f"http://127.0.0.1:{self._hive_port}"

    async def new_database(self, *, migrated: bool = True) -> str:
        """The URL of a fresh database of the role that owns the replica."""
        template = await self._template(MIGRATED, self._migrate_with_halls) if migrated and ALEMBIC.exists() else None
        return await self._copy(template)

    async def new_database_of_locale(self, locale: str) -> str:
        """The URL of a fresh migrated database whose letters are those of `locale`; the others' are those of C."""
        name = f"test_{next(self._numbers)}"
        await make_role(self.postgres, OWNER, PASSWORD, creates_roles=True)
        await make_database(self.postgres, name, OWNER, "template0", locale)
        await asyncio.to_thread(self._migrate, self.url_of(name))
        return self.url_of(name)

    async def new_database_with_logins(self) -> str:
        """The owner's URL of a fresh database where each service logs in as itself, with its word in `PASSWORDS`."""
        url = await self.new_database()
        await set_logins(url, {service: PASSWORDS[service] for service in WITH_DATABASE})
        return url

    async def environment(self) -> dict[str, str]:
        """The environment of a stack on these servers: fresh places to work in, and each service's password."""
        return {
            **os.environ,
            "PRESENCE_DATABASE_URL": await self.new_database_with_logins(),
            "PRESENCE_PRIMARY_URL": await self.new_primary(),
            "PRESENCE_AMQP_URL": self.new_vhost(),
            "PRESENCE_REDIS_URL": self.new_redis_database(),
            **{variable(service): password for service, password in PASSWORDS.items()},
        }

    async def new_primary(self) -> str:
        """The URL of a fresh demo primary."""
        return await self._copy(await self._template(SEEDED, seed))

    def new_redis_database(self) -> str:
        """The URL of an empty numbered key space. Channels of pub/sub are shared by all of them."""
        url = self.redis.url_of(next(self._numbers) % REDIS_DATABASES)
        with redis.Redis.from_url(url) as connection:
            connection.flushdb()
        return url

    def redis_refusals(self, url: str) -> list[str]:
        """What Redis refused to the services' users in a key space, of late: something its rules forgot."""
        where = f" db={urlsplit(url).path[1:]} "
        with redis.Redis.from_url(self.redis.url, decode_responses=True) as connection:
            entries: Any = connection.acl_log()
        return [
            f"{entry['username']}: {entry['reason']} {entry['object']}"
            for entry in entries
            if entry["object"] != "client|setinfo"  # the library tells its name, and does not mind
            and where in f" {' '.join(f'{key}={value}' for key, value in entry['client-info'].items())} "
            and entry["username"] in PASSWORDS
        ]

    def new_vhost(self) -> str:
        """The URL of a fresh virtual host of the broker."""
        return self.rabbitmq.add_vhost(f"test-{next(self._numbers)}")

    def url_of(self, database: str) -> str:
        return self.postgres.url_of(OWNER, PASSWORD, database)

    def as_superuser(self, url: str) -> str:
        """Returns the superuser's URL of the same database."""
        name = url.rpartition("/")[2]
        return self.postgres.url.rpartition("/")[0] + f"/{name}"

    async def drop(self, url: str) -> None:
        """Deletes a database and closes its connections."""
        await drop_database(self.postgres, url.rpartition("/")[2])

    async def _copy(self, template: str | None) -> str:
        name = f"test_{next(self._numbers)}"
        await make_role(self.postgres, OWNER, PASSWORD, creates_roles=True)
        await make_database(self.postgres, name, OWNER, template)
        return self.url_of(name)

    async def _template(self, name: str, fill: "Callable[[str], object]") -> str:
        """Make a database once and fill it; fresh ones are copies of it (0.1 s instead of seconds)."""
        if name not in self._templates:
            self._templates[name] = asyncio.create_task(self._make_template(name, fill))
        await self._templates[name]
        return name

    async def _make_template(self, name: str, fill: "Callable[[str], object]") -> None:
        await make_role(self.postgres, OWNER, PASSWORD, creates_roles=True)
        await make_database(self.postgres, name, OWNER)
        filled = fill(self.url_of(name))
        if asyncio.iscoroutine(filled):
            await filled

    async def _migrate_with_halls(self, url: str) -> None:
        await asyncio.to_thread(self._migrate, url)
        await halls.open_halls(url, halls.every())

    def _migrate(self, url: str) -> None:
        command = [sys.executable, "-m", "alembic", "-c", str(ALEMBIC), "upgrade", "head"]
        environment = {**own_environment(), "PRESENCE_DATABASE_URL": url}
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"alembic upgrade head failed:\n{done.stdout}{done.stderr}"

    def keep_logs(self) -> None:
        """Copies the logs of the servers and of ended stacks to `KEPT_LOGS`, in place of those of an earlier run.

        Each process of a run that has several keeps its own.
        """
        kept = KEPT_LOGS / os.environ.get("PYTEST_XDIST_WORKER", "")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.place.log, kept)

    def end(self) -> None:
        """Kill all servers and delete their data."""
        for name in self._booting:
            asyncio.run(self._servers[name].kill())
        self._threads.shutdown(cancel_futures=True)
        for name in self._booting:
            asyncio.run(self._servers[name].kill())  # one whose boot was under way
        self._exits.close()
        self.guardian.close()
        self.place.remove()
        shutil.rmtree(self.place.root.parent, ignore_errors=True)


# Fixture → the server that it needs; `run_stack` and its like need several.
NEEDED = {
    "postgres_server": ("postgres",),
    "database_url": ("postgres",),
    "empty_database_url": ("postgres",),
    "primary_url": ("postgres",),
    "redis_server": ("redis",),
    "redis_url": ("redis",),
    "rabbitmq_server": ("rabbitmq",),
    "amqp_url": ("rabbitmq",),
    "caddy_server": ("caddy",),
    "hive_url": ("hive",),
    "run_stack": ("postgres", "redis", "rabbitmq", "hive"),
}
_OF_RUN = pytest.StashKey[Servers]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Boot what the collected tests will ask for, all at once, before the first of them runs."""
    if session.config.option.collectonly or session.config.getoption("quick"):
        return
    fixtures = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    needed = {server for fixture in fixtures & NEEDED.keys() for server in NEEDED[fixture]}
    if needed:
        try:
            servers = _of(session.config)
            for name in sorted(needed):
                servers.boot(name)
        except SetupError as error:  # a sentence for a person, instead of a traceback
            raise pytest.UsageError(str(error)) from error


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keeps the servers' logs of a run in which something failed."""
    servers = session.config.stash.get(_OF_RUN, None)
    if servers is not None and exitstatus == pytest.ExitCode.TESTS_FAILED:
        servers.keep_logs()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Says where the logs of a run are in which something failed."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        terminalreporter.write_line(f"Logs of this run's servers and stacks: {KEPT_LOGS}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers; also after Ctrl-C and internal errors."""
    servers = config.stash.get(_OF_RUN, None)
    if servers is not None:
        servers.end()


def _of(config: pytest.Config) -> Servers:
    """The run's servers. Raises NotQuick in a quick run."""
    if config.getoption("quick"):
        raise NotQuick("servers")
    if _OF_RUN not in config.stash:
        config.stash[_OF_RUN] = Servers()
    return config.stash[_OF_RUN]


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    """All servers of the run; for tests that want more than one fresh thing."""
    return _of(pytestconfig)


@pytest.fixture(scope="session")
def postgres_server(servers: Servers) -> Postgres:
    """PostgreSQL, fsync off; `await stop()`, `start()` and `kill()` are allowed when the test leaves it started."""
    return servers.postgres


@pytest.fixture(scope="session")
def redis_server(servers: Servers) -> Redis:
    return servers.redis


@pytest.fixture(scope="session")
def rabbitmq_server(servers: Servers) -> RabbitMQ:
    return servers.rabbitmq


@pytest.fixture(scope="session")
def caddy_server(servers: Servers) -> Caddy:
    """Caddy with the repository's Caddyfile; a test serves on its `upstreams` (ports of gateway, r1, r2)."""
    return servers.caddy


@pytest.fixture(scope="session")
def hive_url(servers: Servers) -> str:
    """The stand-in Hive node."""
    return servers.hive_url


async def _lent(databases: UsedAgain) -> AsyncIterator[str]:
    url = await databases.take()
    yield url
    await databases.give_back(url)


@pytest.fixture
async def database_url(servers: Servers) -> AsyncIterator[str]:
    """A database with the newest schema, as good as new."""
    async for url in _lent(servers.migrated):
        yield url


@pytest.fixture
async def empty_database_url(servers: Servers) -> AsyncIterator[str]:
    """A database without any table, for the tests of the migrations and for primaries of a test's own."""
    async for url in _lent(servers.empty):
        yield url


@pytest.fixture
async def primary_url(servers: Servers) -> AsyncIterator[str]:
    """A demo primary, as good as new."""
    async for url in _lent(servers.primaries):
        yield url


@pytest.fixture
def amqp_url(servers: Servers) -> Iterator[str]:
    """A fresh virtual host, as its administrator; a bus takes it `as_service`."""
    url = servers.new_vhost()
    yield url
    servers.rabbitmq.remove_vhost(url.rpartition("/")[2])


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """An empty key space."""
    return servers.new_redis_database()


@pytest.fixture(scope="session")
def run_stack(servers: Servers) -> RunStack:
    """All six services as processes behind Caddy, on the run's servers with a fresh database, primary, virtual host
    and key space: `async with run_stack(PRESENCE_SYNC_INTERVAL_SECONDS="1") as stack:`. Nothing is left afterwards.
    """

    @asynccontextmanager
    async def run(**settings: str) -> AsyncIterator[Stack]:
        environ = await servers.environment() | settings
        root = Path(tempfile.mkdtemp(prefix="presence-stack-"))
        stack = Stack(root, public_port=free_port(), environ=environ)
        try:
            await stack.start()
            yield stack
            assert servers.redis_refusals(environ["PRESENCE_REDIS_URL"]) == []
        finally:
            await stack.stop()
            shutil.copytree(stack.place.log, servers.place.log / root.name)
            stack.place.remove()

    return run
