"""What was written now, as it will be: events and messages made older than they are, which their ids tell too."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
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
    for month in _months_before(days):
        await owner.sql("SELECT log_partitions.make_month(:month)", month=month)
    await shift(owner, days, "event_log", ids=["id", "subject"], moments=["occurred_at"])
    await shift(owner, days, "space_activity", ids=["event_id"])
    await shift(owner, days, "webhook_deliveries", ids=["event_id"])
    await shift(owner, days, "space_counters", moments=["used_at"])


async def age_chat(owner: Owner, days: int) -> None:
    """Makes every message so many days older, with all that hangs on it."""
    for month in _months_before(days):
        as_chat = "DO $$ BEGIN SET LOCAL ROLE presence_chat; PERFORM chat_partitions.make_month('{}'); END $$"
        await owner.sql(as_chat.format(month))
    await shift(owner, days, "chat_messages", ids=["id", "parent_message_id"], moments=["created_at", "updated_at"])
    await shift(owner, days, "chat_message_edits", ids=["message_id"], moments=["edited_at"])
    await shift(owner, days, "message_reactions", ids=["message_id"], moments=["created_at"])
    await shift(owner, days, "notifications", ids=["message_id"], moments=["created_at"])
    await shift(owner, days, "chat_commands", ids=["subject_id"], moments=["created_at"])


def _months_before(days: int) -> tuple[date, date]:
    """Returns the month of so many days ago, and the one before: clocks of ids differ."""
    month = (now() - timedelta(days=days)).date().replace(day=1)
    return month, (month - timedelta(days=1)).replace(day=1)


async def shift(owner: Owner, days: int, table: str, *, ids: Sequence[str] = (), moments: Sequence[str] = ()) -> None:
    """Makes what some columns of a table say so many days older."""
    changes = [f"{id} = {_SHIFTED.format(id=id, days=days)}" for id in ids]
    changes += [f"{moment} = {moment} - interval '{days} days'" for moment in moments]
    await owner.sql(f"UPDATE {table} SET {', '.join(changes)}")


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
