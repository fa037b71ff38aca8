"""Settings of the gateway."""

from dataclasses import dataclass
from pathlib import Path

from libs.common.settings import EdgeSettings, setting

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings(EdgeSettings):
    node_modules: str = setting(
        "PRESENCE_NODE_MODULES",
        str(REPOSITORY / "node_modules"),
        "Where npm put socket.io-client, whose browser bundle the page at / loads.",
    )
