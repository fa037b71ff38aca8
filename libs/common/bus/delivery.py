"""Decides the outcome of one delivery to one consumer, alike on both buses."""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto

import structlog

from libs.common.bus.base import Consumer, Reject
from libs.common.contracts.log import LoggedEvent
from libs.common.errors import PresenceError

_log = structlog.get_logger(__name__)
FIRST_PAUSE = 0.1  # seconds before a temporary failure is tried again; doubles
LONGEST_PAUSE = 5.0
RETRY_PAUSE = 0.2  # seconds before an unexpected failure goes back to the queue


class Outcome(Enum):
    DONE = auto()
    AGAIN = auto()  # counts towards the delivery limit
    DEAD = auto()


def is_temporary(error: Exception) -> bool:
    """Returns whether a failure is of what stands behind us (a server away), not of the event."""
    if isinstance(error, PresenceError):
        return error.kind.temporary
    temporary = {"OperationalError", "InterfaceError", "ConnectionError", "TimeoutError"}  # SQLAlchemy, redis
    return isinstance(error, OSError) or any(cls.__name__ in temporary for cls in type(error).__mro__)


async def deliver(consumer: Consumer, events: Sequence[LoggedEvent]) -> Outcome:
    """Runs the consumer until its outcome is known; a temporary failure is outlasted here."""
    pause = FIRST_PAUSE
    about = {"event_id": events[0].id, "event_name": events[0].name, "events": len(events)}
    while True:
        try:
            await consumer(events)
            return Outcome.DONE
        except Reject as error:
            _log.warning("event rejected", **about, error=str(error))
            return Outcome.DEAD
        except Exception as error:
            if not is_temporary(error):
                _log.exception("event handler failed", **about)
                await asyncio.sleep(RETRY_PAUSE)
                return Outcome.AGAIN
            _log.warning("event handler waits", **about, error=repr(error), pause=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
