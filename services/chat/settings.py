"""Settings of the chat service."""

from dataclasses import dataclass

from libs.common.settings import DatabaseSettings, setting


@dataclass(frozen=True)
class Settings(DatabaseSettings):
    chat_archive: str = setting(
        "PRESENCE_CHAT_ARCHIVE",
        "",
        "Folder for chat older than 90 days, a compressed file a month; empty keeps all in the database.",
    )
