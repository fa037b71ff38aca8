"""`space_activity`: what happened where, written from the log's events."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from libs.common.contracts.log import LoggedEvent
from libs.common.db.engine import Database
from libs.common.db.models.spaces import SpaceActivity

_KEPT = ("session_id",)  # of a payload: what joins a visit's beginning and its end


class ActivityRecorder:
    """A consumer of every event; a row's `event_id` is unique, so a second delivery changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def on_events(self, events: Sequence[LoggedEvent]) -> None:
        statement = insert(SpaceActivity).on_conflict_do_nothing(index_elements=[SpaceActivity.event_id])
        async with self._database.transaction() as connection:
            await connection.execute(statement, [_row(event) for event in events])


def _row(event: LoggedEvent) -> dict[str, Any]:
    kind, _, who = event.actor.partition(":")
    return {
        "event_id": event.id,
        "space_type": event.space_type,
        "space_id": event.space_id,
        "subspace": event.subspace,
        "activity": event.name,
        "user_account": who if kind == "account" else None,
        "actor": event.actor,
        "occurred_at": event.occurred_at,
        "data": {name: event.payload[name] for name in _KEPT if name in event.payload},
    }
