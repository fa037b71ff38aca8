"""How the database's backups are, as the process that makes them tells the gateway."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.common.clock import rfc3339

LATE = 2  # times the interval: what is older is not well


@dataclass(frozen=True)
class BackupStatus:
    """The newest backup and the last good drill, if there are any. Intervals are in seconds, `error` is the last."""

    made_at: datetime | None
    bytes: int | None
    drilled_at: datetime | None
    interval: float
    drill_interval: float
    error: str | None

    def seen_at(self, moment: datetime) -> dict[str, Any]:
        """Returns what health shows. Ages are those of the reader's moment: who wrote this may be dead since."""
        age, drill_age = _age(self.made_at, moment), _age(self.drilled_at, moment)
        is_fresh = age is not None and age <= LATE * self.interval
        is_tried = drill_age is not None and drill_age <= LATE * self.drill_interval
        return {
            "ok": is_fresh and is_tried and self.error is None,
            "made_at": rfc3339(self.made_at) if self.made_at else None,
            "age_seconds": age,
            "bytes": self.bytes,
            "drilled_at": rfc3339(self.drilled_at) if self.drilled_at else None,
            "drill_age_seconds": drill_age,
            "error": self.error,
        }


UNKNOWN = BackupStatus(None, None, None, 0.0, 0.0, "Nothing is known of backups: their process has not told.")


def _age(made: datetime | None, moment: datetime) -> float | None:
    return None if made is None else round((moment - made).total_seconds(), 1)
