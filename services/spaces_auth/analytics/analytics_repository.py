"""SQL of the five views over the sums by day (see `libs/common/db/models/spaces.py`), and of counting a report.

The last `days` days end today (UTC). None of it reads what a single person did, and a list of `limit` spaces or ways
does not read all of them: one is in it if it is among the first `limit` of one of the days. The numbers are exact.
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
_SPACE, _WAY = "space_type, space_id", "from_type, from_id, to_type, to_id"

# The sums of `found`, each read by its key: a plan of another kind would read every row of the days.
_SUMMED = """
SELECT {shown}, sums.* FROM {found} AS found, LATERAL (
  SELECT {sums} FROM {table} AS summed WHERE ({summed_key}) = ({found_key}) AND {recent}
) AS sums
"""
_FIRST_OF_EACH_DAY = """
(SELECT DISTINCT {key} FROM generate_series(0, cast(:days AS int) - 1) AS ago, LATERAL ({of_day}) AS of_day)
"""
_TODAY_LESS = "day = (now() AT TIME ZONE 'UTC')::date - ago"
_POPULARITY = """sum(visits)::bigint AS visits, sum(last_visitors)::bigint AS people,
  sum(messages)::bigint AS messages"""
_DOCUMENT = """sum(visits)::bigint AS visits, sum(last_people)::bigint AS people, sum(comments)::bigint AS comments,
  sum(last_writers)::bigint AS commenters"""
_MOVES = "sum(times)::bigint AS times, sum(last_people)::bigint AS people"
_ONE = "(SELECT cast(:space_type AS text) AS space_type, cast(:space_id AS text) AS space_id)"


def _summed(table: str, key: str, sums: str, found: str, shown: str = "") -> str:
    names = key.split(", ")
    summed_key, found_key = (", ".join(f"{of}.{name}" for name in names) for of in ("summed", "found"))
    return _SUMMED.format(
        shown=shown or key,
        table=table,
        sums=sums,
        found=found,
        summed_key=summed_key,
        found_key=found_key,
        recent=_RECENT,
    )


def _days_first(key: str, *of_day: str) -> str:
    """Returns what is among the first `limit` of any of the days, in one of the ways that a day is read."""
    return _FIRST_OF_EACH_DAY.format(key=key, of_day=" UNION ALL ".join(f"({read} LIMIT :limit)" for read in of_day))


def _spaces_of_a_day(only: str) -> str:
    return f"SELECT {_SPACE} FROM space_days WHERE {_TODAY_LESS} AND {only} ORDER BY people DESC"  # noqa: S608


def _ways_of_a_day(near: str, far: str) -> str:
    """Returns the ways that have the space at their `near` end and lead to or from a space that everybody may see."""
    return f"""SELECT {_WAY} FROM space_moves WHERE {_TODAY_LESS}
      AND ({near}_type, {near}_id) = (:space_type, :space_id)
      AND NOT ({far}_type = 'post' AND NOT EXISTS (SELECT 1 FROM posts WHERE author = split_part({far}_id, '/', 1)
        AND permlink = split_part({far}_id, '/', 2) AND NOT hidden AND NOT flagged))
      AND NOT ({far}_type = 'document' AND NOT EXISTS (SELECT 1 FROM collaboration_documents d
        WHERE d.space_id = {far}_id AND is_public AND NOT is_deleted))
      ORDER BY times DESC"""  # noqa: S608


_POPULAR_ORDER = "ORDER BY people DESC, visits DESC, space_type, space_id LIMIT :limit"
_POPULAR_OF_SPACE = f"{_summed('space_days', _SPACE, _POPULARITY, _ONE)} WHERE visits IS NOT NULL {_POPULAR_ORDER}"
_POPULAR_FOUND = _days_first(_SPACE, _spaces_of_a_day("space_id <> ''"))
_POPULAR = f"{_summed('space_days', _SPACE, _POPULARITY, _POPULAR_FOUND)} {_POPULAR_ORDER}"
_DOCUMENTS_ORDER = "ORDER BY people DESC, comments DESC, space_id LIMIT :limit"
_DOCUMENTS_OF_SPACE = f"""{_summed("space_days", _SPACE, _DOCUMENT, _ONE, "space_id")}
WHERE space_type = 'document' AND visits IS NOT NULL {_DOCUMENTS_ORDER}"""
_DOCUMENTS_FOUND = _days_first(_SPACE, _spaces_of_a_day("space_type = 'document'"))
_DOCUMENTS = f"{_summed('space_days', _SPACE, _DOCUMENT, _DOCUMENTS_FOUND, 'space_id')} {_DOCUMENTS_ORDER}"
_MOVEMENT_ORDER = f"ORDER BY times DESC, {_WAY} LIMIT :limit"
_WAYS_FOUND = _days_first(_WAY, f"SELECT {_WAY} FROM space_moves WHERE {_TODAY_LESS} ORDER BY times DESC")  # noqa: S608
_MOVEMENT = f"{_summed('space_moves', _WAY, _MOVES, _WAYS_FOUND)} {_MOVEMENT_ORDER}"
_WAYS_OF_SPACE = _days_first(_WAY, _ways_of_a_day("from", "to"), _ways_of_a_day("to", "from"))
_MOVEMENT_OF_SPACE = f"{_summed('space_moves', _WAY, _MOVES, _WAYS_OF_SPACE)} {_MOVEMENT_ORDER}"
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
_REPORT = text("""
INSERT INTO webrtc_days AS w (space_type, space_id, day, outcome, path, media, milliseconds, reports)
SELECT space_type, space_id, (now() AT TIME ZONE 'UTC')::date, :outcome, :path, :media, :milliseconds, 1
FROM unnest(cast(:types AS text[]), cast(:ids AS text[])) AS scope(space_type, space_id) ORDER BY 1, 2
ON CONFLICT (space_type, space_id, day, outcome, path, media, milliseconds) DO UPDATE SET reports = w.reports + 1
""")
UNSAID = -1  # milliseconds that nobody reported


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
