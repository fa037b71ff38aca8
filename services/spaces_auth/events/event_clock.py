"""What time does to events: those who go are reminded, who waits goes where there is room, and what is over closes.

Each is marked in the transaction that appends its event to the log, so it happens once, whichever replica does it and
whatever dies in between.
"""

from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts import events
from libs.common.contracts.registry import Event
from libs.common.db.event_log import EventLog, Fact
from libs.common.db.models.events import EventNotice
from libs.common.db.pruning import delete_all, delete_older
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.tasks.background import Background
from services.spaces_auth.events import events_repository as repository
from services.spaces_auth.events import places_repository as places
from services.spaces_auth.events.event_views import given_facts, log_of, told
from services.spaces_auth.moderation.access_epochs import AccessEpochs

LOOK_SECONDS = 5.0
PRUNE_SECONDS = 3600.0
NOTICES = timedelta(days=1)  # far longer than chat is away
AT_ONCE = 100  # events of a transaction


class EventClock:
    """A component; any number of processes may have one. `ahead` is how long before the start people are reminded."""

    def __init__(self, log: EventLog, epochs: AccessEpochs, ahead: timedelta, kept_days: int) -> None:
        self._log = log
        self._epochs = epochs
        self._ahead = ahead
        self._kept = timedelta(days=kept_days)
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self.look, at_once=True)
        self._background.every(PRUNE_SECONDS, self.prune, at_once=True)

    async def stop(self) -> None:
        await self._background.end()

    async def look(self) -> None:
        """Does what is due. An event that is cancelled, or began before anybody looked, reminds nobody."""
        await self.remind()
        await self.close()
        await self.move_up()

    async def remind(self) -> int:
        """Reminds of the events that begin soon; returns of how many."""
        async with self._log.transaction() as tx:
            due = await repository.due_reminders(tx.connection, self._ahead, AT_ONCE)
            ahead = [event for event in due if event.cancelled_at is None and event.starts_at > now()]
            await self._tell(tx.connection, due, "reminded_at")
            for event in ahead:
                going = await places.who_goes(tx.connection, event.id)
                await places.notify(tx.connection, "event_reminder", event, going)
            await tx.append_all([_fact(events.starts_soon, event) for event in ahead], _us())
        return len(ahead)

    async def close(self) -> int:
        """Has the people of events whose time is over reviewed; returns of how many events."""
        async with self._log.transaction() as tx:
            due = await repository.due_closings(tx.connection, AT_ONCE)
            await self._tell(tx.connection, due, "closed_at")
            rows = await tx.append_all([_fact(events.closed, event) for event in due], _us())
        for row in rows:
            await self._epochs.raise_soon(row)
        return len(due)

    async def move_up(self) -> int:
        """Gives places to those who wait where the primary has made room; returns at how many events."""
        async with self._log.transaction() as tx:
            facts: list[Fact[Any]] = []
            for event in await repository.due_places(tx.connection, AT_ONCE):
                facts += given_facts(event, await places.move_up(tx.connection, event))
            await tx.append_all(facts, _us())
        return len(facts)

    @staticmethod
    async def _tell(connection: AsyncConnection, due: list[Row[Any]], column: str) -> None:
        if due:
            await repository.mark(connection, [event.id for event in due], column)

    async def prune(self) -> None:
        """Deletes events that closed so long ago that the log has forgotten them, and notices that chat has read."""
        await delete_older(self._log.database, EventNotice.created_at, now() - NOTICES)
        delete = partial(repository.delete_over, before=now() - self._kept)
        await delete_all(self._log.database, "scheduled_events", delete)


def _fact(kind: Event[Any], event: Row[Any]) -> Fact[Any]:
    return Fact(kind, log_of(event), None, lambda _: told(event))


def _us() -> Caller:
    return Caller(service_identity("spaces_auth"), request_id=new_id())
