"""The event log on the bus: events after a number, and the newest numbers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from libs.common.contracts.registry import Access, Limit, Operation
from libs.common.contracts.schema import SpaceId, SpaceType, at_most, integer


@dataclass(frozen=True)
class LoggedEvent:
    """One row of the log. `subspace` is None for what concerns the whole space.

    `seq` counts the space's events from 1 in commit order, without holes. `payload` is the event's
    contract dataclass as JSON.
    """

    id: str
    name: str
    space_type: str
    space_id: str
    subspace: str | None
    seq: int
    actor: str  # `Identity.key` of who caused it
    occurred_at: datetime
    payload: dict[str, Any]
    request_id: str

    def concerns(self, subspace: str) -> bool:
        """Returns whether people in `subspace` hear of the event."""
        return self.subspace in (None, subspace)


@dataclass(frozen=True)
class EventsSince:
    space_type: SpaceType
    space_id: SpaceId
    after_seq: Annotated[int, integer(0, 2**53)]
    limit: Annotated[int, integer(1, 1000)] = 500


@dataclass(frozen=True)
class Events:
    """In order of `seq`. `head` is the newest number of the space when the page was read."""

    events: list[LoggedEvent]
    head: int


@dataclass(frozen=True)
class Heads:
    spaces: list[str] = field(default_factory=list, metadata=at_most(1000))  # `post:bob/my-post`


@dataclass(frozen=True)
class HeadNumbers:
    heads: dict[str, int]


events_since = Operation(
    "log.events_since",
    "spaces_auth",
    EventsSince,
    Events,
    Access.INTERNAL,
    Limit(600, 60),
    summary="Durable events of a space after a number; fills a replica's or a client's gap.",
)
heads = Operation(
    "log.heads",
    "spaces_auth",
    Heads,
    HeadNumbers,
    Access.INTERNAL,
    Limit(600, 60),
    summary="The newest number of each space asked for; finds a lost last event.",
)

RECORDS = (events_since, heads)
