"""The whole stack on one screen: every component, what it waits for, and the settings that our services get.

`make up` runs it under a supervisor; the end-to-end and fault tests run it in their own process:

    stack = Stack(folder, public_port=free_port())
    await stack.start()                    # SetupError or StartError says what is wrong
    await stack.kill("r1")                 # SIGKILL
    await stack.start_one("r1")
    await stack.stop_one("rabbitmq")
    await stack.stop()
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.local.components import Given, Service, Step, Task, own_environment
from deploy.local.databases import (
    PRIMARY_DATABASE,
    PRIMARY_ROLE,
    REPLICA_DATABASE,
    REPLICA_ROLE,
    make_database,
    make_role,
)
from deploy.local.guardian import REPOSITORY, Guardian
from deploy.local.order import Order, Progress
from deploy.local.packages import ensure
from deploy.local.ports import Ports, require_free
from deploy.local.primary import Shape, seed
from deploy.local.servers.base import Component, Process
from deploy.local.servers.caddy import Caddy
from deploy.local.servers.coturn import Coturn
from deploy.local.servers.lan import PORT_SETTING, Lan
from deploy.local.servers.postgres import Postgres
from deploy.local.servers.rabbitmq import RabbitMQ
from deploy.local.servers.redis import Redis
from deploy.local.workplace import Workplace, make_key
from deploy.logins.passwords import WITH_BROKER, WITH_DATABASE, WITH_LOGIN, WITH_REDIS, variable, with_login
from deploy.logins.postgres import login as database_login
from deploy.logins.postgres import set_logins

DEFAULT_PORT = 8080
OPERATOR_TOKEN = "presence-operator"  # noqa: S105 - of the local stack only
# A page that somebody develops is on any port of this machine; the others are the defaults of the setting.
ORIGINS = (
    *("http://localhost:*", "http://127.0.0.1:*"),
    *("https://dlux.io", "https://www.dlux.io", "https://vue.dlux.io", "https://*.ipfs.dlux.io"),
)
ALEMBIC = REPOSITORY / "alembic" / "alembic.ini"

# Our own processes: name → (command after the interpreter, settings of its own)
SERVICES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "spaces_auth": (("-m", "services.spaces_auth"), {}),
    "chat": (("-m", "services.chat"), {}),
    "sync_worker": (("-m", "services.sync_worker"), {}),
    "webhook_dispatcher": (("-m", "services.webhook_dispatcher"), {}),
    "backup": (("-m", "services.sync_worker.backups"), {}),
    "r1": (("-m", "services.realtime"), {"PRESENCE_REPLICA_ID": "r1"}),
    "r2": (("-m", "services.realtime"), {"PRESENCE_REPLICA_ID": "r2"}),
    "gateway": (("-m", "services.gateway"), {}),
}
PUBLIC = ("gateway", "r1", "r2")  # those with an HTTP port of their own, in the order Caddy wants them
REPLICAS = ("r1", "r2")  # of realtime
LOGINS = {  # which services have a login of their own there
    "PRESENCE_DATABASE_URL": WITH_DATABASE,
    "PRESENCE_REDIS_URL": WITH_REDIS,
    "PRESENCE_AMQP_URL": WITH_BROKER,
}

# What each waits for; what is not named here starts at once.
NEEDS: dict[str, tuple[str, ...]] = {
    "databases": ("postgres",),
    "primary": ("databases",),
    "migrations": ("databases",),
    "logins": ("migrations",),
    **dict.fromkeys(SERVICES, ("redis", "rabbitmq", "hive", "primary", "migrations", "logins")),
    "caddy": ("static", *SERVICES),
}


class Stack:
    """One Presence on this machine, with everything it needs, in the folder `root`.

    A server whose URL is in `environ` (default: ours) is used and not started; with the services' passwords there
    (`CHAT_PASSWORD` and so on) each service logs in as itself. `lan` is where the network is served too, and what
    clients are told of then. `services` replaces our own processes in the tests of the stack itself.
    """

    def __init__(
        self,
        root: Path,
        *,
        public_port: int = DEFAULT_PORT,
        environ: Mapping[str, str] | None = None,
        durable: bool = True,
        lan: Lan | None = None,
        services: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = SERVICES,
    ) -> None:
        self.place = Workplace(root)
        self.public_port = public_port
        self.url = f"http://localhost:{public_port}"
        self.lan = lan
        self._ports = Ports(self.place.root / "ports.json")
        self._guardian = Guardian()
        self._environ = own_environment(environ)
        self._passwords = {service: self._password(service) for service in WITH_LOGIN}
        self._services = services
        port = self._ports.reserve
        broker_ports = (port("amqp"), port("erlang"), port("epmd"))
        self._postgres = Postgres(self.place, self._guardian, port("postgres"), durable=durable)
        self._redis = Redis(self.place, self._guardian, port("redis"), self._passwords)
        self._rabbitmq = RabbitMQ(self.place, self._guardian, broker_ports, self._passwords)
        self._coturn = Coturn(self.place, self._guardian, port("turn"), self._turn_secret, loopback_peers=True, lan=lan)
        self.settings = self._settings()
        self.components = {component.name: component for component in self._components()}
        self.progress: Progress = lambda _name, _word: None  # who wants to know sets it before the start
        self._order = Order(self.components, NEEDS, lambda name, word: self.progress(name, word))

    async def start(self) -> None:
        """Install what is missing, start everything in order, return when all of it is ready.

        Raises SetupError where a person must act, StartError where a component fails; nothing is left running then.
        """
        require_free(self.public_port, "PRESENCE_PORT")
        if self.lan:
            require_free(self.lan.port, PORT_SETTING)
        processes = [component for component in self.components.values() if isinstance(component, Process)]
        programs = [program for process in processes for program in process.programs]
        await asyncio.to_thread(ensure, programs, lambda text: self.progress("packages", text))
        await self._order.start()

    async def stop(self) -> None:
        """Stop everything in reverse order."""
        await self._order.stop()
        self._guardian.close()

    async def start_one(self, name: str) -> None:
        """Start one component again and wait until it is ready."""
        await self._order.start_one(name)

    async def stop_one(self, name: str) -> None:
        """Stop one component, in order; its data stay."""
        await self._order.stop_one(name)

    async def kill(self, name: str) -> None:
        """SIGKILL one component with everything it started."""
        await self.components[name].kill()

    def log(self, name: str) -> Path:
        return self.place.log_file(name)

    def http_port(self, name: str) -> int:
        """The port behind Caddy on which gateway, r1 or r2 serves."""
        return self._ports.reserve(f"{name}.http")

    def ops_url(self, name: str) -> str:
        """Returns the URL at which a service answers /livez, /readyz and /metrics."""
        return f"http://127.0.0.1:{self._ports.reserve(f'{name}.ops')}"

    def settings_of(self, service: str) -> dict[str, str]:
        """Returns the settings of one service: at each server its own login, where it has one."""
        shared = {name: value for name, value in self.settings.items() if name not in LOGINS}
        return shared | {setting: self._url_of(setting, service) for setting in LOGINS if service in LOGINS[setting]}

    # The parts

    def _components(self) -> Iterator[Component]:
        for setting, server in self._by_setting().items():
            given = self._environ.get(setting)
            yield Given(server.name, setting, given) if given else server
        if self._has_own_postgres:
            yield self._postgres
        if self._has_own_coturn:
            yield self._coturn
        yield self._hive()
        yield Step("databases", self._make_databases)
        if "PRESENCE_PRIMARY_URL" not in self._environ:
            yield Step("primary", self._seed_primary)
        if ALEMBIC.exists():
            command = ("-m", "alembic", "-c", str(ALEMBIC), "upgrade", "head")
            yield Task("migrations", self.place, self._guardian, command, self.settings)
        if "PRESENCE_DATABASE_URL" not in self._environ:
            yield Step("logins", lambda: set_logins(self.settings["PRESENCE_DATABASE_URL"], self._database_logins))
        write = ("-m", "services.gateway.static", str(self._static))
        yield Task("static", self.place, self._guardian, write, self.settings)
        yield from (self._service(name) for name in self._services)
        yield self._caddy()

    def _by_setting(self) -> dict[str, Redis | RabbitMQ]:
        return {"PRESENCE_REDIS_URL": self._redis, "PRESENCE_AMQP_URL": self._rabbitmq}

    @property
    def _has_own_postgres(self) -> bool:
        return not {"PRESENCE_DATABASE_URL", "PRESENCE_PRIMARY_URL"} <= self._environ.keys()

    @property
    def _has_own_coturn(self) -> bool:
        return "PRESENCE_TURN_URIS" not in self._environ

    def _hive(self) -> Process:
        port = self._ports.reserve("hive")
        command = ("-m", "deploy.local.hive_node", str(port))
        return Service("hive", self.place, self._guardian, command, self._environ, (port, "/"))

    def _service(self, name: str) -> Process:
        command, own = self._services[name]
        ops_port = self._ports.reserve(f"{name}.ops")
        ports = {"PRESENCE_OPS_PORT": str(ops_port), "PRESENCE_HTTP_PORT": str(self.http_port(name))}
        settings = {**self.settings_of("realtime" if name in REPLICAS else name), **own, **ports}
        return Service(name, self.place, self._guardian, command, settings, (ops_port, "/readyz"))

    def _url_of(self, setting: str, service: str) -> str:
        """A server that was given without the services' passwords is used with the login that was given."""
        url = self.settings[setting]
        if setting in self._environ and variable(service) not in self._environ:
            return url
        user = database_login(service) if setting == "PRESENCE_DATABASE_URL" else service
        return with_login(url, user, self._passwords[service])

    def _caddy(self) -> Process:
        gateway, first, second = (self.http_port(name) for name in PUBLIC)
        secret = self.settings["PRESENCE_PROXY_SECRET"]
        upstreams = (gateway, first, second)
        return Caddy(self.place, self._guardian, self.public_port, upstreams, secret, self._static, self.lan)

    @property
    def _static(self) -> Path:
        return self.place.root / "static"

    def _settings(self) -> dict[str, str]:
        """Returns the settings that every service gets. Values already in the environment win."""
        secret = self.place.secret
        return {
            "PRESENCE_DATABASE_URL": self._postgres.url_of(REPLICA_ROLE, self._replica_password, REPLICA_DATABASE),
            "PRESENCE_PRIMARY_URL": self._postgres.url_of(PRIMARY_ROLE, secret("primary_password"), PRIMARY_DATABASE),
            "PRESENCE_REDIS_URL": self._redis.url,
            "PRESENCE_AMQP_URL": self._rabbitmq.url,
            "PRESENCE_HIVE_NODES": f"http://127.0.0.1:{self._ports.reserve('hive')}",
            "PRESENCE_IPFS_GATEWAY": f"http://127.0.0.1:{self._ports.reserve('hive')}/ipfs",
            "PRESENCE_IPFS_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "PRESENCE_APPS_URL": f"http://localhost:{self._ports.reserve('hive')}/ipfs/{{cid}}",
            "PRESENCE_MEDIA_CACHE": str(self.place.root / "media"),
            "PRESENCE_PUBLIC_URL": self.lan.url if self.lan else self.url,
            "PRESENCE_ALLOWED_ORIGINS": ",".join(ORIGINS),
            "PRESENCE_HTTP_HOST": "127.0.0.1",
            "PRESENCE_PROXY_SECRET": secret("proxy_secret"),
            "PRESENCE_OPERATOR_TOKEN": OPERATOR_TOKEN,
            "PRESENCE_SECRET_KEY": secret("secret_key", make_key),
            "PRESENCE_CHAT_ARCHIVE": str(self.place.root / "archive"),
            "PRESENCE_BACKUPS": str(self.place.root / "backups"),
            "PRESENCE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "PRESENCE_WEBHOOK_PING": "false",
            "TURN_SECRET": self._turn_secret,
            **(self._turn_settings() if self._has_own_coturn else {}),
            **self._environ,
        }

    def _turn_settings(self) -> dict[str, str]:
        uris = ",".join(self._coturn.turn_uris)
        return {"PRESENCE_STUN_URIS": self._coturn.stun_uri, "PRESENCE_TURN_URIS": uris}

    def _password(self, service: str) -> str:
        return self._environ.get(variable(service)) or self.place.secret(f"{service}_password")

    @property
    def _replica_password(self) -> str:
        return self._environ.get("DB_REPLICA_PASSWORD") or self.place.secret("replica_password")

    @property
    def _turn_secret(self) -> str:
        return self._environ.get("TURN_SECRET") or self.place.secret("turn_secret")

    @property
    def _database_logins(self) -> dict[str, str]:
        return {service: self._passwords[service] for service in WITH_DATABASE}

    async def _seed_primary(self) -> None:
        await seed(self.settings["PRESENCE_PRIMARY_URL"], self._environ.get("PRESENCE_DEMO_PRIMARY_SHAPE", Shape.MIXED))

    async def _make_databases(self) -> None:
        """The databases of our own PostgreSQL; the replica's role makes further roles, for the services' grants."""
        if "PRESENCE_DATABASE_URL" not in self._environ:
            await make_role(self._postgres, REPLICA_ROLE, self._replica_password, creates_roles=True)
            await make_database(self._postgres, REPLICA_DATABASE, REPLICA_ROLE)
        if "PRESENCE_PRIMARY_URL" not in self._environ:
            await make_role(self._postgres, PRIMARY_ROLE, self.place.secret("primary_password"))
            await make_database(self._postgres, PRIMARY_DATABASE, PRIMARY_ROLE)
