"""Settings of backups: of the process that makes them, and of the commands."""

from dataclasses import dataclass

from libs.common.settings import ArchiveSettings, setting

HOUR = 3600.0  # seconds


@dataclass(frozen=True)
class BackupSettings(ArchiveSettings):
    folder: str = setting("PRESENCE_BACKUPS", "backups", "Folder of the database's backups, each with a manifest.")
    interval_hours: float = setting("PRESENCE_BACKUP_INTERVAL_HOURS", 6.0, "Hours from one backup to the next.")
    drill_hours: float = setting(
        "PRESENCE_BACKUP_DRILL_HOURS", 24.0, "Hours from one trial of the newest backup to the next."
    )
    kept: int = setting("PRESENCE_BACKUPS_KEPT", 28, "How many of the newest backups are kept, at least one.")
    months: int = setting("PRESENCE_BACKUP_MONTHS", 12, "For how many months the first backup of each is kept besides.")
    hook: str = setting(
        "PRESENCE_BACKUP_HOOK",
        "",
        "Command that uploads: it is called with the paths of each new backup and of its manifest.",
    )
    tools: str = setting(
        "PRESENCE_POSTGRES_TOOLS",
        "",
        "Folder of pg_dump and pg_restore of the server's major version; empty looks where they usually are.",
    )

    @property
    def interval(self) -> float:
        """Seconds from one backup to the next."""
        return self.interval_hours * HOUR

    @property
    def drill_interval(self) -> float:
        """Seconds from one good drill to the next."""
        return self.drill_hours * HOUR
