"""Settings of the static files."""

from dataclasses import dataclass
from pathlib import Path

from libs.common.settings import CommonSettings, setting

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class StaticSettings(CommonSettings):
    node_modules: str = setting(
        "PRESENCE_NODE_MODULES",
        str(REPOSITORY / "node_modules"),
        "Where npm put socket.io-client, whose browser bundle the page at / loads.",
    )
