"""The durable events of one space, from its channel and from the log: each is delivered once, in `seq` order.

**A hole is waited for, then fetched.** Events of one space are published by several workers of chat and come through
whichever replica took them from the shared queue, so neighbours overtake each other by some milliseconds. Fetching at
once would ask the log, on every replica that holds the space, for events that are already on their way; `gap_seconds`
(50 ms) lets nearly all of these holes close and is still short of what a person notices in a chat. The last event of a
burst leaves no hole when it is lost: comparing heads (`HeldSpaces`) finds it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import structlog

from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts import log
from libs.common.contracts.log import EventsSince, Heads, LoggedEvent
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.metrics import GAPS
from libs.common.spaces import SpaceKey
from services.realtime.rooms.client import Client
from services.realtime.space.event_order import EventOrder
from services.realtime.space.inbox import Head
from services.realtime.space.parts import SpaceParts

_log = structlog.get_logger(__name__)
PAGE = 500  # events of one question to the log
MOST_REPLAYED = PAGE  # numbers of a space that a client who comes back may have missed
MOST_REPLAYED_AGE = timedelta(days=90)  # words older than that are not said again


class EventFeed:
    """`put` has the space's worker handle a head; for clients that are `entering` events gather."""

    def __init__(
        self, key: SpaceKey, parts: SpaceParts, entering: Mapping[str, Client], put: Callable[[Head], None]
    ) -> None:
        self._key = key
        self._bus = parts.bus
        self._broadcast = parts.broadcast
        self._listeners = parts.listeners
        self._gap_seconds = parts.gap_seconds
        self._entering = entering
        self._put = put
        self._events = EventOrder()
        self._gap_timer: asyncio.TimerHandle | None = None

    @property
    def seq(self) -> int:
        """The number of the last durable event that was delivered."""
        return self._events.seq

    async def open(self) -> None:
        """Reads where the space stands."""
        caller = Caller(service_identity("realtime"), new_id())
        answer = await self._bus.call(log.heads, Heads([str(self._key)]), caller)
        self._events = EventOrder(answer.heads[str(self._key)])

    def on_logged(self, events: Sequence[LoggedEvent]) -> None:
        self._events.add(events)
        self._deliver()
        if self._events.head > self.seq and self._gap_timer is None:
            self._gap_timer = asyncio.get_running_loop().call_later(self._gap_seconds, self._gap_is_due)

    def _gap_is_due(self) -> None:
        self._gap_timer = None
        self._put(Head(self._events.head))

    async def on_head(self, seq: int) -> None:
        if seq > self.seq:
            await self.fetch_gap()

    async def fetch_gap(self) -> None:
        """Delivers everything after the last event, from the log, page by page."""
        while page := await self._page_after(self.seq):
            GAPS.inc()
            if page[0].seq > self.seq + 1:  # what the log has not is waited for by nobody
                _log.error("events are missing in the log", space=str(self._key), after=self.seq, before=page[0].seq)
                self._events.skip_to(page[0].seq - 1)
            self._events.add(page)
            self._deliver()
            if len(page) < PAGE:
                return

    async def _page_after(self, after_seq: int) -> Sequence[LoggedEvent]:
        caller = Caller(service_identity("realtime"), new_id())
        request = EventsSince(self._key.space_type, self._key.space_id, after_seq, PAGE)
        return (await self._bus.call(log.events_since, request, caller)).events

    def _deliver(self) -> None:
        for event in self._events.take():
            self._broadcast.event(self._key, event, self._entering.values())
            for listener in self._listeners:
                listener.on_event(self._key, event.name)

    async def missed_since(self, after_seq: int, until: int, subspace: str) -> Sequence[LoggedEvent] | None:
        """Returns the durable events of a subspace after a client's last number and up to its snapshot's.

        None where that is more than `MOST_REPLAYED` numbers ago, or more than the log may still say.
        """
        if until - after_seq > MOST_REPLAYED:
            return None
        events = [event for event in await self._page_after(after_seq) if event.seq <= until]
        oldest = now() - MOST_REPLAYED_AGE
        if len(events) < until - after_seq or any(event.occurred_at < oldest for event in events):
            return None
        return [event for event in events if event.concerns(subspace)]
