"""Analytics of the last 30 days: of one space for its owner, of all spaces for operators."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from libs.common.contracts.registry import Access, Http, Limit, Operation
from libs.common.contracts.schema import PageSize, SpaceId, SpaceType, integer

RETENTION_DAYS = 30


@dataclass(frozen=True)
class AnalyticsQuery:
    """Asks about one space, or about all without one (operators). `days` end today (UTC).

    What happens is counted some seconds later.
    """

    space_type: SpaceType | None = None
    space_id: SpaceId | None = None
    days: Annotated[int, integer(1, RETENTION_DAYS)] = 7
    limit: PageSize = 50


@dataclass(frozen=True)
class SpacePopularity:
    """Numbers of a space; `people` are different accounts and guests."""

    space_type: str
    space_id: str
    visits: int
    people: int
    messages: int


@dataclass(frozen=True)
class Popular:
    """Spaces, most people first."""

    spaces: list[SpacePopularity]


@dataclass(frozen=True)
class DayOfEngagement:
    """Numbers of a day. `stay_seconds` is the mean of the visits that ended on it; null if none did."""

    day: date
    visits: int
    people: int
    messages: int
    reactions: int
    stay_seconds: float | None


@dataclass(frozen=True)
class Engagement:
    """Days, oldest first."""

    days: list[DayOfEngagement]


@dataclass(frozen=True)
class DayOfVoice:
    """Connection attempts of a day. `success_rate` and `relayed` are shares from 0 to 1.

    `milliseconds` is a median, to two digits.
    """

    day: date
    attempts: int
    success_rate: float
    relayed: float
    milliseconds: float | None


@dataclass(frozen=True)
class VoiceQuality:
    """Days, oldest first."""

    days: list[DayOfVoice]


@dataclass(frozen=True)
class DocumentActivity:
    """Numbers of a document. `comments` counts what was written, changed or resolved."""

    space_id: str
    visits: int
    people: int
    comments: int
    commenters: int


@dataclass(frozen=True)
class DocumentActivities:
    """Documents, most people first."""

    documents: list[DocumentActivity]


@dataclass(frozen=True)
class Transition:
    """The number of times that somebody entered `to` right after `from`."""

    from_type: str
    from_id: str
    to_type: str
    to_id: str
    times: int
    people: int


@dataclass(frozen=True)
class Movement:
    """Transitions, most often first. A space's owner sees those between it and public spaces."""

    ways: list[Transition]


def _view[Reply](name: str, reply: type[Reply], summary: str) -> Operation[AnalyticsQuery, Reply]:
    return Operation(
        f"analytics.{name}",
        "spaces_auth",
        AnalyticsQuery,
        reply,
        Access.ACCOUNT,
        Limit(30, 60),
        bindings=(Http("GET", f"/api/analytics/{name}"),),
        summary=summary,
    )


popular = _view("popular", Popular, "Spaces by how many people came.")
engagement = _view("engagement", Engagement, "Visits, people, messages and stays by day.")
voice = _view("voice", VoiceQuality, "How calls got through, by day.")
documents = _view("documents", DocumentActivities, "Documents by visits and comments.")
movement = _view("movement", Movement, "From which space people go to which.")

RECORDS = (popular, engagement, voice, documents, movement)
