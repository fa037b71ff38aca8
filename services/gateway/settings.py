"""Settings of the gateway."""

from dataclasses import dataclass
from ipaddress import ip_network

from libs.common.settings import EdgeSettings, SettingsError, setting


@dataclass(frozen=True)
class Settings(EdgeSettings):
    primary_webhook_secret: str = setting(
        "PRESENCE_PRIMARY_WEBHOOK_SECRET",
        "",
        "Key of the primary's signed POST /api/webhooks/primary, which starts a sync cycle; without it none is taken.",
    )
    requests: int = setting(
        "PRESENCE_REQUESTS", 1024, "Requests that a gateway answers at once; the next is told to come again (503)."
    )
    requests_each: int = setting(
        "PRESENCE_REQUESTS_PER_ADDRESS", 128, "How many of them one address may have; the next is refused (429)."
    )
    shared_answers: int = setting(
        "PRESENCE_SHARED_ANSWERS",
        4096,
        "Answers, the same for everybody without a token, that a gateway keeps for a second; 0 shares none.",
    )
    shared_answers_bytes: int = setting(
        "PRESENCE_SHARED_ANSWERS_BYTES", 32 * 1024**2, "Bytes that those answers may have together."
    )
    ipfs_gateway: str = setting(
        "PRESENCE_IPFS_GATEWAY",
        "https://ipfs.dlux.io/ipfs",
        "Gateway behind /api/media, up to the CID; it has to answer by path. Empty closes /api/media.",
    )
    ipfs_allowed_networks: tuple[str, ...] = setting(
        "PRESENCE_IPFS_ALLOWED_NETWORKS",
        [],
        "Networks where that gateway may be although they are not public, and without TLS too; comma-separated CIDR.",
    )
    media_cache: str = setting(
        "PRESENCE_MEDIA_CACHE",
        "/tmp/presence-media",  # noqa: S108  made for us alone, or refused
        "Folder for files from IPFS, one process's own.",
    )
    media_cache_bytes: int = setting("PRESENCE_MEDIA_CACHE_BYTES", 2 * 1024**3, "Bytes that folder may hold.")
    media_cache_files: int = setting("PRESENCE_MEDIA_CACHE_FILES", 20_000, "Files that folder may hold.")
    media_largest_bytes: int = setting(
        "PRESENCE_MEDIA_LARGEST_BYTES", 64 * 1024**2, "Size of the largest file that /api/media serves."
    )
    media_timeout: float = setting(
        "PRESENCE_MEDIA_TIMEOUT_SECONDS", 30.0, "How long the IPFS gateway may take for a file."
    )
    media_fetches: int = setting("PRESENCE_MEDIA_FETCHES", 16, "Files that are fetched from IPFS side by side.")
    media_fetches_each: int = setting(
        "PRESENCE_MEDIA_FETCHES_PER_ADDRESS", 8, "Requests of one address that may wait for files from IPFS."
    )

    def __post_init__(self) -> None:
        for network in self.ipfs_allowed_networks:
            try:
                ip_network(network)
            except ValueError as error:
                raise SettingsError(f"PRESENCE_IPFS_ALLOWED_NETWORKS: {error}.") from error
        if self.media_largest_bytes > self.media_cache_bytes:
            raise SettingsError("PRESENCE_MEDIA_CACHE_BYTES is less than PRESENCE_MEDIA_LARGEST_BYTES.")
