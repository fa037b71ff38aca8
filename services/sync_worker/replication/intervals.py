"""How often each table is brought up to date."""

from dataclasses import dataclass

from services.sync_worker.settings import Settings
from services.sync_worker.tables.replicated import TABLES

DECIDING = frozenset(table.name for table in TABLES if table.decides_access)
INTERVALS = 3  # a table whose last complete run began longer ago than this is behind


@dataclass(frozen=True)
class Intervals:
    """Seconds from one cycle to the next: of the tables that decide who may enter, and of the others."""

    access: float
    others: float

    @classmethod
    def of_settings(cls, settings: Settings) -> "Intervals":
        return cls(settings.access_interval, settings.interval)

    def of(self, table: str) -> float:
        """Returns the seconds from one cycle of a table to the next."""
        return self.access if table in DECIDING else self.others

    def stale_after(self, table: str) -> float:
        """Returns the seconds after its last complete run from which a table is behind."""
        return INTERVALS * self.of(table)
