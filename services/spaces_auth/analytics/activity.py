"""Turns the log's events into rows of `space_activity`, which analytics reads."""

from collections.abc import Sequence
from typing import Any

from libs.common.contracts.log import LoggedEvent
from libs.common.db.engine import Database
from services.spaces_auth.analytics import activity_repository

_KEPT = ("session_id",)  # of a payload: it joins the beginning of a stay with its end


class ActivityRecorder:
    """A consumer of every event; a row's `event_id` is unique, so a second delivery changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def on_events(self, events: Sequence[LoggedEvent]) -> None:
        """Stores one row an event, in one transaction."""
        async with self._database.transaction() as connection:
            await activity_repository.insert(connection, [_row(event) for event in events])


def _row(event: LoggedEvent) -> dict[str, Any]:
    kind, _, actor_id = event.actor.partition(":")
    return {
        "event_id": event.id,
        "space_type": event.space_type,
        "space_id": event.space_id,
        "subspace": event.subspace,
        "activity": event.name,
        "user_account": actor_id if kind == "account" else None,
        "actor": event.actor,
        "occurred_at": event.occurred_at,
        "data": {name: event.payload[name] for name in _KEPT if name in event.payload},
    }
