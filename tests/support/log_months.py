"""The log as it will be: events made older than they are, which their ids tell too, and the month they lie in."""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from libs.common.clock import now


class Owner(Protocol):
    async def sql(self, statement: str, **values: Any) -> Any: ...


_SHIFTED = (
    "(lpad(to_hex(('x' || translate(left({id}::text, 13), '-', ''))::bit(48)::bigint - {days} * 86400000::bigint), 12,"
    " '0') || substr(translate({id}::text, '-', ''), 13))::uuid"
)


async def age_log(owner: Owner, days: int) -> None:
    """Makes every event so many days older, in the log and where it is spoken of; makes the months for it."""
    moment = (now() - timedelta(days=days)).date()
    for month in (moment.replace(day=1), moment.replace(day=1) - timedelta(days=1)):
        await owner.sql("SELECT log_partitions.make_month(:month)", month=month)
    shifted = {name: _SHIFTED.format(id=name, days=days) for name in ("id", "subject", "event_id")}
    ago = f"interval '{days} days'"
    await owner.sql(
        f"UPDATE event_log SET id = {shifted['id']}, subject = {shifted['subject']}, occurred_at = occurred_at - {ago}"
    )
    for table in ("space_activity", "webhook_deliveries"):
        await owner.sql(f"UPDATE {table} SET event_id = {shifted['event_id']}")
    await owner.sql(f"UPDATE space_counters SET used_at = used_at - {ago}")


def month_ends(moment: datetime) -> datetime:
    """Returns when the month of a moment is over."""
    return (
        moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=31)
    ).replace(day=1)


async def months_of(owner: Owner) -> set[str]:
    """Returns the names of the log's partitions."""
    found = await owner.sql(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'event_log'::regclass"
    )
    return {row.name.removeprefix("log_partitions.") for row in found}
