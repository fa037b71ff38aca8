"""How settings are declared and read: a frozen dataclass whose fields carry name, default and purpose.

    @dataclass(frozen=True)
    class Settings(CommonSettings):
        interval: int = setting("PRESENCE_SYNC_INTERVAL_SECONDS", 60, "Seconds between sync cycles.")

`read(Settings)` names every bad or missing variable at once. `tests/unit` compares the declarations
with `.env.example`.
"""

import base64
from dataclasses import dataclass, field, fields
from typing import Any

from environs import Env, EnvError, EnvValidationError

REQUIRED = object()


class SettingsError(Exception):
    """One or more variables are missing or malformed; the text names them all."""


def setting(name: str, default: Any, doc: str) -> Any:
    """Declares a setting. Its type is the field's annotation: str, int, float, bool or tuple[str, ...]."""
    return field(metadata={"name": name, "default": default, "doc": doc})


def read[S](cls: type[S]) -> S:
    """An instance of `cls` from the environment. Raises `SettingsError`."""
    env = Env(eager=False)
    values = {f.name: _read_one(env, f.metadata, f.type) for f in fields(cls)}  # type: ignore[arg-type]
    try:
        env.seal()
    except (EnvError, EnvValidationError) as error:
        raise SettingsError(f"Check these settings: {error}") from error
    return cls(**values)


def _read_one(env: Env, declared: Any, annotation: Any) -> Any:
    readers: dict[Any, Any] = {str: env.str, int: env.int, float: env.float, bool: env.bool, tuple[str, ...]: env.list}
    name, default = declared["name"], declared["default"]
    value = readers[annotation](name) if default is REQUIRED else readers[annotation](name, default)
    return tuple(part.strip() for part in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class CommonSettings:
    """The settings of every process."""

    redis_url: str = setting(
        "PRESENCE_REDIS_URL", "redis://127.0.0.1:6379/0", "Redis: live state, caches, rate limits."
    )
    amqp_url: str = setting(
        "PRESENCE_AMQP_URL",
        "amqp://guest:guest@127.0.0.1:5672/",
        "RabbitMQ: calls and events. Its user is the service's name: that is who it is to the others.",
    )
    ops_host: str = setting("PRESENCE_OPS_HOST", "127.0.0.1", "Where /livez, /readyz and /metrics listen.")
    ops_port: int = setting("PRESENCE_OPS_PORT", 0, "Port of /livez, /readyz, /metrics; 0 picks a free one.")
    drain_seconds: float = setting(
        "PRESENCE_DRAIN_SECONDS", 10.0, "How long a process may finish its work after SIGTERM."
    )
    unready_exit_seconds: float = setting(
        "PRESENCE_UNREADY_EXIT_SECONDS",
        60.0,
        "Seconds a process may be unready before it ends itself, an edge only until it was ready once; 0 is for ever.",
    )
    log_level: str = setting("PRESENCE_LOG_LEVEL", "info", "debug, info, warning or error.")
    public_url: str = setting(
        "PRESENCE_PUBLIC_URL",
        "http://localhost:8080",
        "Where clients reach us; part of challenges, tokens, websocket_url.",
    )


@dataclass(frozen=True)
class DatabaseSettings(CommonSettings):
    """The settings of a process with a database."""

    database_url: str = setting(
        "PRESENCE_DATABASE_URL",
        "postgresql://replica_user@127.0.0.1:5432/dlux_presence",
        "PostgreSQL. The process takes the role presence_<service> on it: its own login, or one that is a member.",
    )
    database_pool: int = setting(
        "PRESENCE_DATABASE_POOL", 10, "Connections of each process for what it writes, and for logins."
    )
    database_reads: int = setting(
        "PRESENCE_DATABASE_READS",
        5,
        "Connections of each process for what is only read, and as many for joins; they cannot write.",
    )
    database_costly: int = setting(
        "PRESENCE_DATABASE_COSTLY", 2, "Connections of each process for searches, and as many for analytics."
    )
    operators: tuple[str, ...] = setting(
        "PRESENCE_OPERATORS", [], "Hive accounts that may do everything, comma-separated."
    )


@dataclass(frozen=True)
class ArchiveSettings(DatabaseSettings):
    """The settings of a process that knows of the archives of chat."""

    chat_archive: str = setting(
        "PRESENCE_CHAT_ARCHIVE",
        "",
        "Folder for chat older than 90 days, a compressed file a month; empty keeps all in the database.",
    )


@dataclass(frozen=True)
class SecretSettings(DatabaseSettings):
    """The settings of a process that keeps secrets at rest."""

    secret_key: str = setting(
        "PRESENCE_SECRET_KEY", REQUIRED, "32 random bytes in base64; encrypts signing keys and webhook secrets at rest."
    )

    def __post_init__(self) -> None:
        try:
            if len(base64.b64decode(self.secret_key, validate=True)) == 32:
                return
        except ValueError:  # not base64, or not even ASCII
            pass
        raise SettingsError("PRESENCE_SECRET_KEY must be 32 bytes in base64 (openssl rand -base64 32).")


@dataclass(frozen=True)
class EdgeSettings(CommonSettings):
    """The settings of the two public edges."""

    http_host: str = setting("PRESENCE_HTTP_HOST", "127.0.0.1", "Where the edge listens.")
    http_port: int = setting("PRESENCE_HTTP_PORT", 8081, "The edge's port, behind Caddy.")
    allowed_origins: tuple[str, ...] = setting(
        "PRESENCE_ALLOWED_ORIGINS",
        ["https://dlux.io", "https://www.dlux.io", "https://vue.dlux.io", "https://*.ipfs.dlux.io"],
        "Origins of pages that may call: exact, with one label as *., or any port as :*. The public URL's always may.",
    )
    proxy_secret: str = setting(
        "PRESENCE_PROXY_SECRET",
        "",
        "Shown by Caddy to the edges, which then believe X-Forwarded-For from nobody else.",
    )
    trusted_proxies: tuple[str, ...] = setting(
        "PRESENCE_TRUSTED_PROXIES",
        ["127.0.0.0/8", "::1/128"],
        "Networks whose X-Forwarded-For is believed where there is no PRESENCE_PROXY_SECRET.",
    )
    operators: tuple[str, ...] = setting(
        "PRESENCE_OPERATORS", [], "Hive accounts that may do everything, comma-separated."
    )
    rate_limit_factor: float = setting(
        "PRESENCE_RATE_LIMIT_FACTOR", 1.0, "Multiplies every rate limit; 0 switches them off (load tests)."
    )
    operator_token: str = setting(
        "PRESENCE_OPERATOR_TOKEN",
        "",
        "Bearer token of the admin routes; empty closes them to all but operator accounts.",
    )
