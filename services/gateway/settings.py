"""Settings of the gateway."""

from dataclasses import dataclass
from pathlib import Path

from libs.common.settings import EdgeSettings, setting

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings(EdgeSettings):
    primary_webhook_secret: str = setting(
        "PRESENCE_PRIMARY_WEBHOOK_SECRET",
        "",
        "Key of the primary's signed POST /api/webhooks/primary, which starts a sync cycle; without it none is taken.",
    )
    node_modules: str = setting(
        "PRESENCE_NODE_MODULES",
        str(REPOSITORY / "node_modules"),
        "Where npm put socket.io-client, whose browser bundle the page at / loads.",
    )
