"""Settings of sync_worker."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from libs.common.contracts.content import TABLES
from libs.common.hive import HiveSettings
from libs.common.settings import DatabaseSettings, SettingsError, setting

SSL_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class Settings(HiveSettings, DatabaseSettings):
    primary_url: str = setting(
        "PRESENCE_PRIMARY_URL", "", "PostgreSQL of the primary (postgresql://...); wins over DB_PRIMARY_*."
    )
    primary_host: str = setting("DB_PRIMARY_HOST", "", "Host of the primary, where PRESENCE_PRIMARY_URL is not set.")
    primary_port: int = setting("DB_PRIMARY_PORT", 5432, "Port of the primary.")
    primary_name: str = setting("DB_PRIMARY_NAME", "dlux", "Database of the primary.")
    primary_user: str = setting("DB_PRIMARY_USER", "presence_readwrite", "Login at the primary; reading suffices.")
    primary_password: str = setting("DB_PRIMARY_PASSWORD", "", "Password at the primary.")
    primary_sslmode: str = setting(
        "DB_PRIMARY_SSLMODE",
        "prefer",
        "TLS to the primary: disable, prefer, require, verify-ca or verify-full; only the last two know whom they met.",
    )
    primary_sslrootcert: str = setting(
        "DB_PRIMARY_SSLROOTCERT", "", "File with the certificates by which the primary's is verified."
    )
    primary_notify: bool = setting(
        "PRESENCE_PRIMARY_NOTIFY", False, "Listen to the primary's notices (deploy/primary/notify.sql) as well."
    )
    interval: float = setting("PRESENCE_SYNC_INTERVAL_SECONDS", 60.0, "Seconds from one cycle of posts to the next.")
    access_interval: float = setting(
        "PRESENCE_SYNC_ACCESS_INTERVAL_SECONDS",
        10.0,
        "Seconds from one cycle of documents and permissions to the next.",
    )
    delete_guard: float = setting(
        "PRESENCE_SYNC_DELETE_GUARD_PERCENT",
        5.0,
        "Posts or documents that vanish in greater share of their table than this are closed and wait for `confirm`.",
    )
    absent_columns: tuple[str, ...] = setting(
        "PRESENCE_SYNC_ABSENT_COLUMNS",
        [],
        "Columns about access that this primary has not, such as posts.flagged, or a whole table; comma-separated.",
    )
    titles_per_cycle: int = setting(
        "PRESENCE_SYNC_TITLES_PER_CYCLE", 500, "How many posts' titles and texts are fetched from Hive after a cycle."
    )

    def __post_init__(self) -> None:
        if self.primary_sslmode not in SSL_MODES:
            raise SettingsError(f"DB_PRIMARY_SSLMODE is one of {', '.join(SSL_MODES)}.")
        unknown = [name for name in self.absent_columns if name.partition(".")[0] not in TABLES]
        if unknown:
            raise SettingsError(f"PRESENCE_SYNC_ABSENT_COLUMNS names what is not replicated: {', '.join(unknown)}.")

    @property
    def primary_dsn(self) -> str:
        """The primary's address; empty where none is configured."""
        if self.primary_url or not self.primary_host:
            return self.primary_url
        login = f"{quote(self.primary_user, safe='')}:{quote(self.primary_password, safe='')}"
        address = f"postgresql://{login}@{self.primary_host}:{self.primary_port}/{quote(self.primary_name, safe='')}"
        tls = {"sslmode": self.primary_sslmode, "sslrootcert": self.primary_sslrootcert}
        chosen = {name: value for name, value in tls.items() if value not in ("", "prefer")}
        return f"{address}?{urlencode(chosen)}" if chosen else address
