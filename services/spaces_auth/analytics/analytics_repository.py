"""SQL of the five views over the sums by day (see `libs/common/db/models/spaces.py`), and of counting a report.

The last `days` days end today (UTC). None of it reads what a single person did, and an operator's lists of many days
do not read every space: a space is in one if it is among the first `DAILY` of one of the days. The numbers are exact.
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.analytics import (
    AnalyticsQuery,
    DayOfEngagement,
    DayOfVoice,
    DocumentActivity,
    SpacePopularity,
    Transition,
)
from libs.common.contracts.voice import ConnectionReport
from libs.common.spaces import SpaceKey

_RECENT = "day > (now() AT TIME ZONE 'UTC')::date - cast(:days AS int)"
_OF_SCOPE = "(space_type, space_id) = (:space_type, :space_id)"  # a space, or the sums of all where both are empty
DAILY = 200  # first spaces, documents or ways of a day, among which an operator's lists are made: a whole page
_FIRST_OF_EACH_DAY = f"""
JOIN (SELECT DISTINCT {{key}} FROM generate_series(0, cast(:days AS int) - 1) AS ago, LATERAL (
  SELECT {{key}} FROM {{table}} WHERE day = (now() AT TIME ZONE 'UTC')::date - ago {{only}}
  ORDER BY {{rank}} DESC LIMIT {DAILY}) AS of_day) AS found USING ({{key}}) WHERE true
"""  # noqa: S608  names and conditions of ours
_OF_ONE = f"WHERE {_OF_SCOPE}"

_SUMMED = """
SELECT space_type, space_id, sum(visits)::bigint AS visits, sum(last_visitors)::bigint AS people,
  sum(messages)::bigint AS messages
FROM space_days {which} AND {recent} GROUP BY space_type, space_id
ORDER BY people DESC, visits DESC, space_type, space_id LIMIT :limit
"""
_ENGAGEMENT = f"""
SELECT day, visits, people, messages, reactions, stay_seconds::float8 / nullif(stays, 0) AS stay_seconds
FROM space_days WHERE {_RECENT} AND {_OF_SCOPE} ORDER BY day
"""  # noqa: S608  conditions of ours
# The median of counted values is the mean of the two in the middle, or the one.
_VOICE = f"""
WITH counted AS (
  SELECT day, outcome, path, milliseconds, sum(reports)::bigint AS reports FROM webrtc_days
  WHERE {_RECENT} AND {_OF_SCOPE} GROUP BY day, outcome, path, milliseconds
),
connected AS (
  SELECT day, milliseconds, sum(reports) OVER (PARTITION BY day ORDER BY milliseconds) AS up_to,
    sum(reports) OVER (PARTITION BY day) AS of_day
  FROM counted WHERE outcome = 'connected' AND milliseconds >= 0
),
medians AS (
  SELECT day, (min(milliseconds) FILTER (WHERE up_to >= div(of_day + 1, 2))
    + min(milliseconds) FILTER (WHERE up_to >= div(of_day, 2) + 1)) / 2.0::float8 AS milliseconds
  FROM connected GROUP BY day
)
SELECT day, sum(reports)::bigint AS attempts,
  (coalesce(sum(reports) FILTER (WHERE outcome = 'connected'), 0) / sum(reports))::float8 AS success_rate,
  coalesce(sum(reports) FILTER (WHERE outcome = 'connected' AND path = 'relay')
    / sum(reports) FILTER (WHERE outcome = 'connected'), 0)::float8 AS relayed,
  min(medians.milliseconds) AS milliseconds
FROM counted LEFT JOIN medians USING (day) GROUP BY day ORDER BY day
"""  # noqa: S608
_SUMMED_DOCUMENTS = """
SELECT space_id, sum(visits)::bigint AS visits, sum(last_people)::bigint AS people, sum(comments)::bigint AS comments,
  sum(last_writers)::bigint AS commenters
FROM space_days {which} AND space_type = 'document' AND {recent} GROUP BY space_id
ORDER BY people DESC, comments DESC, space_id LIMIT :limit
"""
_WAYS = "from_type, from_id, to_type, to_id"
_SUMMED_WAYS = f"""
SELECT {_WAYS}, sum(times)::bigint AS times, sum(last_people)::bigint AS people
FROM space_moves {{which}} AND {_RECENT} GROUP BY {_WAYS}
ORDER BY times DESC, {_WAYS} LIMIT :limit
"""  # noqa: S608
# The ways are put in order before it is asked which may be shown (OFFSET 0 keeps it so): that ends at the limit.
_MOVEMENT_OF_SPACE = f"""
SELECT {_WAYS}, times, people FROM (
  SELECT {_WAYS}, sum(times)::bigint AS times, sum(last_people)::bigint AS people FROM (
    SELECT * FROM space_moves
    WHERE (from_type, from_id) = (:space_type, :space_id) AND {_RECENT}
    UNION ALL
    SELECT * FROM space_moves
    WHERE (to_type, to_id) = (:space_type, :space_id) AND {_RECENT}
  ) AS moves GROUP BY {_WAYS} ORDER BY times DESC, {_WAYS} OFFSET 0
) AS ways, LATERAL (
  SELECT CASE WHEN (from_type, from_id) = (:space_type, :space_id) THEN to_type ELSE from_type END AS t,
    CASE WHEN (from_type, from_id) = (:space_type, :space_id) THEN to_id ELSE from_id END AS i
) AS other
WHERE NOT (t = 'post' AND NOT EXISTS (SELECT 1 FROM posts WHERE author = split_part(i, '/', 1)
    AND permlink = split_part(i, '/', 2) AND NOT hidden AND NOT flagged))
  AND NOT (t = 'document' AND NOT EXISTS (SELECT 1 FROM collaboration_documents d
    WHERE d.space_id = i AND is_public AND NOT is_deleted))
ORDER BY times DESC, {_WAYS} LIMIT :limit
"""  # noqa: S608
_REPORT = text("""
INSERT INTO webrtc_days AS w (space_type, space_id, day, outcome, path, media, milliseconds, reports)
SELECT space_type, space_id, (now() AT TIME ZONE 'UTC')::date, :outcome, :path, :media, :milliseconds, 1
FROM unnest(cast(:types AS text[]), cast(:ids AS text[])) AS scope(space_type, space_id) ORDER BY 1, 2
ON CONFLICT (space_type, space_id, day, outcome, path, media, milliseconds) DO UPDATE SET reports = w.reports + 1
""")
UNSAID = -1  # milliseconds that nobody reported
_KEY = "space_type, space_id"


def _among(table: str, key: str, rank: str, only: str = "") -> str:
    return _FIRST_OF_EACH_DAY.format(table=table, key=key, rank=rank, only=only)


_POPULAR = _SUMMED.format(recent=_RECENT, which=_among("space_days", _KEY, "people", "AND space_id <> ''"))
_POPULAR_OF_SPACE = _SUMMED.format(recent=_RECENT, which=_OF_ONE)
_DOCUMENTS = _SUMMED_DOCUMENTS.format(
    recent=_RECENT, which=_among("space_days", _KEY, "people", "AND space_type = 'document'")
)
_DOCUMENTS_OF_SPACE = _SUMMED_DOCUMENTS.format(recent=_RECENT, which=_OF_ONE)
_MOVEMENT = _SUMMED_WAYS.format(which=_among("space_moves", _WAYS, "times"))


async def popular(connection: AsyncConnection, space: SpaceKey | None, query: AnalyticsQuery) -> list[SpacePopularity]:
    """Returns visits, people and messages of each space, most people first; of `space` alone where it is given."""
    return [
        SpacePopularity(**row)
        for row in await _rows(connection, _POPULAR_OF_SPACE if space else _POPULAR, space, query)
    ]


async def engagement(
    connection: AsyncConnection, space: SpaceKey | None, query: AnalyticsQuery
) -> list[DayOfEngagement]:
    """Returns visits, people, messages, reactions and the mean stay by day (UTC), oldest first."""
    return [DayOfEngagement(**row) for row in await _rows(connection, _ENGAGEMENT, space, query)]


async def voice(connection: AsyncConnection, space: SpaceKey | None, query: AnalyticsQuery) -> list[DayOfVoice]:
    """Returns the outcome of connection attempts by day (UTC), oldest first."""
    return [DayOfVoice(**row) for row in await _rows(connection, _VOICE, space, query)]


async def documents(
    connection: AsyncConnection, space: SpaceKey | None, query: AnalyticsQuery
) -> list[DocumentActivity]:
    """Returns visits and comments of each document, most people first."""
    return [
        DocumentActivity(**row)
        for row in await _rows(connection, _DOCUMENTS_OF_SPACE if space else _DOCUMENTS, space, query)
    ]


async def movement(connection: AsyncConnection, space: SpaceKey | None, query: AnalyticsQuery) -> list[Transition]:
    """Returns from which space people went to which, most often first.

    With a `space`, only transitions between it and public spaces.
    """
    statement = _MOVEMENT_OF_SPACE if space else _MOVEMENT
    return [Transition(**row) for row in await _rows(connection, statement, space, query)]


async def count_report(connection: AsyncConnection, space: SpaceKey | None, report: ConnectionReport) -> None:
    """Counts a client's report of one connection, for all spaces together and for `space` where it is given."""
    spaces = [("", ""), (space.space_type, space.space_id)] if space else [("", "")]
    given = {name: getattr(report, name) for name in ("outcome", "path", "media")}
    given |= {"milliseconds": _two_digits(report.milliseconds)}
    given |= {"types": [kind for kind, _ in spaces], "ids": [name for _, name in spaces]}
    await connection.execute(_REPORT, given)


def _two_digits(milliseconds: int | None) -> int:
    """Returns the number with zeros after its first two digits; `UNSAID` for None."""
    if milliseconds is None:
        return UNSAID
    unit: int = 10 ** max(len(str(milliseconds)) - 2, 0)
    return milliseconds // unit * unit


async def _rows(
    connection: AsyncConnection, statement: str, space: SpaceKey | None, query: AnalyticsQuery
) -> list[Any]:
    scope = (space.space_type, space.space_id) if space else ("", "")
    known = {"days": query.days, "space_type": scope[0], "space_id": scope[1], "limit": query.limit}
    values = {name: value for name, value in known.items() if f":{name}" in statement}
    return list((await connection.execute(text(statement), values)).mappings())
