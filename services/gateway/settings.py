"""Settings of the gateway."""

from dataclasses import dataclass

from libs.common.settings import EdgeSettings, setting


@dataclass(frozen=True)
class Settings(EdgeSettings):
    primary_webhook_secret: str = setting(
        "PRESENCE_PRIMARY_WEBHOOK_SECRET",
        "",
        "Key of the primary's signed POST /api/webhooks/primary, which starts a sync cycle; without it none is taken.",
    )
