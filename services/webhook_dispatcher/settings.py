"""Settings of webhook_dispatcher."""

from dataclasses import dataclass
from ipaddress import ip_network

from libs.common.settings import SecretSettings, SettingsError, setting


@dataclass(frozen=True)
class Settings(SecretSettings):
    webhook_allowed_networks: tuple[str, ...] = setting(
        "PRESENCE_WEBHOOK_ALLOWED_NETWORKS",
        [],
        "Networks to which webhooks may go although they are not public, and without TLS too; comma-separated CIDR.",
    )
    webhook_require_https: bool = setting(
        "PRESENCE_WEBHOOK_REQUIRE_HTTPS",
        True,
        "Refuse http:// to public addresses. PRESENCE_WEBHOOK_ALLOWED_NETWORKS may be reached by http either way.",
    )
    webhook_timeout: float = setting(
        "PRESENCE_WEBHOOK_TIMEOUT_SECONDS", 15.0, "How long an endpoint may take to answer, connecting included."
    )
    webhook_concurrency: int = setting(
        "PRESENCE_WEBHOOK_CONCURRENCY", 256, "Webhooks that one process sends side by side."
    )
    webhook_concurrency_each: int = setting(
        "PRESENCE_WEBHOOK_CONCURRENCY_PER_SUBSCRIPTION",
        4,
        "How many of them one subscription may hold, so that a slow endpoint delays nobody else.",
    )
    webhook_concurrency_account: int = setting(
        "PRESENCE_WEBHOOK_CONCURRENCY_PER_ACCOUNT",
        64,
        "How many of them the subscriptions of one account may hold together.",
    )
    webhook_concurrency_host: int = setting(
        "PRESENCE_WEBHOOK_CONCURRENCY_PER_HOST",
        10,
        "How many of them may go to one host, whoever subscribed; of one process.",
    )
    webhook_rate_host: int = setting(
        "PRESENCE_WEBHOOK_RATE_PER_HOST",
        100,
        "Webhooks a second that go to one host, whoever subscribed; of one process. 0 for any number.",
    )
    webhook_ping: bool = setting(
        "PRESENCE_WEBHOOK_PING",
        True,
        "Ask each new URL by a signed ping whether it wants webhooks, before its first event. False for private stacks"
        " whose endpoints answer none.",
    )
    webhook_subscriptions: int = setting(
        "PRESENCE_WEBHOOK_SUBSCRIPTIONS_PER_ACCOUNT", 20, "Subscriptions an account may have; operators have no limit."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, spec in self.__dataclass_fields__.items():
            if name.startswith("webhook_concurrency") and getattr(self, name) < 1:
                raise SettingsError(f"{spec.metadata['name']}: at least 1.")
        for network in self.webhook_allowed_networks:
            try:
                ip_network(network)
            except ValueError as error:
                raise SettingsError(f"PRESENCE_WEBHOOK_ALLOWED_NETWORKS: {error}.") from error
