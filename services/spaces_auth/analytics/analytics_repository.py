"""SQL of the five views over `space_activity` and `webrtc_reports`, and of storing a connection report."""

from typing import Any

from sqlalchemy import insert, text
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
from libs.common.db.models.spaces import WebrtcReport
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey

_OF_SPACE = "(cast(:space_type AS text) IS NULL OR (space_type, space_id) = (:space_type, :space_id))"
_RECENT = f"occurred_at > now() - make_interval(days => :days) AND {_OF_SPACE}"
_VISIT, _MESSAGE = "activity = 'spaces.member_joined'", "activity = 'chat.message_posted'"

_POPULAR = f"""
SELECT space_type, space_id, count(*) FILTER (WHERE {_VISIT}) AS visits,
  count(DISTINCT actor) FILTER (WHERE {_VISIT}) AS people, count(*) FILTER (WHERE {_MESSAGE}) AS messages
FROM space_activity WHERE {_RECENT} GROUP BY space_type, space_id
ORDER BY people DESC, visits DESC, space_type, space_id
LIMIT :limit
"""  # noqa: S608  conditions of ours
_ENGAGEMENT = f"""
WITH recent AS (SELECT *, (occurred_at AT TIME ZONE 'UTC')::date AS day FROM space_activity WHERE {_RECENT}),
stays AS (
  SELECT l.day, avg(extract(epoch FROM l.occurred_at - j.occurred_at))::float8 AS seconds
  FROM recent l JOIN recent j ON j.data->>'session_id' = l.data->>'session_id' AND j.activity = 'spaces.member_joined'
  WHERE l.activity = 'spaces.member_left' GROUP BY l.day)
SELECT day, count(*) FILTER (WHERE {_VISIT}) AS visits, count(DISTINCT actor) AS people,
  count(*) FILTER (WHERE {_MESSAGE}) AS messages,
  count(*) FILTER (WHERE activity = 'chat.reaction_changed') AS reactions,
  (SELECT seconds FROM stays WHERE stays.day = recent.day) AS stay_seconds
FROM recent GROUP BY day ORDER BY day
"""  # noqa: S608
_VOICE = f"""
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS attempts,
  avg((outcome = 'connected')::int)::float8 AS success_rate,
  coalesce(avg((path = 'relay')::int) FILTER (WHERE outcome = 'connected'), 0)::float8 AS relayed,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY milliseconds) FILTER (WHERE outcome = 'connected') AS milliseconds
FROM webrtc_reports WHERE created_at > now() - make_interval(days => :days) AND {_OF_SPACE}
GROUP BY 1 ORDER BY 1
"""  # noqa: S608
_DOCUMENTS = f"""
SELECT space_id, count(*) FILTER (WHERE {_VISIT}) AS visits, count(DISTINCT actor) AS people,
  count(*) FILTER (WHERE activity LIKE 'documents.%') AS comments,
  count(DISTINCT actor) FILTER (WHERE activity LIKE 'documents.%') AS commenters
FROM space_activity WHERE {_RECENT} AND space_type = 'document' GROUP BY space_id
ORDER BY people DESC, comments DESC, space_id LIMIT :limit
"""  # noqa: S608
_MOVEMENT = f"""
WITH steps AS (
  SELECT actor, space_type AS to_type, space_id AS to_id, lag(space_type) OVER went AS from_type,
    lag(space_id) OVER went AS from_id
  FROM space_activity WHERE {_VISIT} AND occurred_at > now() - make_interval(days => :days)
  WINDOW went AS (PARTITION BY actor ORDER BY occurred_at, id))
SELECT from_type, from_id, to_type, to_id, count(*) AS times, count(DISTINCT actor) AS people FROM steps
WHERE (from_type, from_id) <> (to_type, to_id) AND (cast(:space_type AS text) IS NULL OR
  ((from_type, from_id) = (:space_type, :space_id) OR (to_type, to_id) = (:space_type, :space_id))
  AND NOT EXISTS (SELECT 1 FROM (VALUES (from_type, from_id), (to_type, to_id)) AS other(t, i)
    WHERE (t, i) <> (:space_type, :space_id) AND (
      (t = 'post' AND NOT EXISTS (SELECT 1 FROM posts WHERE author = split_part(i, '/', 1)
        AND permlink = split_part(i, '/', 2) AND NOT hidden AND NOT flagged))
      OR (t = 'document' AND NOT EXISTS (SELECT 1 FROM collaboration_documents d
        WHERE d.space_id = i AND is_public AND NOT is_deleted)))))
GROUP BY from_type, from_id, to_type, to_id ORDER BY times DESC, from_type, from_id, to_type, to_id LIMIT :limit
"""  # noqa: S608


async def popular(connection: AsyncConnection, space: SpaceKey | None, query: AnalyticsQuery) -> list[SpacePopularity]:
    """Returns visits, people and messages of each space, most people first; of `space` alone where it is given."""
    return [SpacePopularity(**row) for row in await _rows(connection, _POPULAR, space, query)]


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
    return [DocumentActivity(**row) for row in await _rows(connection, _DOCUMENTS, space, query)]


async def movement(connection: AsyncConnection, space: SpaceKey | None, query: AnalyticsQuery) -> list[Transition]:
    """Returns from which space people went to which, most often first.

    With a `space`, only transitions between it and public spaces.
    """
    return [Transition(**row) for row in await _rows(connection, _MOVEMENT, space, query)]


async def insert_report(connection: AsyncConnection, space: SpaceKey | None, report: ConnectionReport) -> None:
    """Stores a client's report of one connection, of `space` or of none."""
    values = {name: getattr(report, name) for name in ("outcome", "path", "media", "milliseconds")}
    await connection.execute(insert(WebrtcReport).values(id=new_id(), **_columns(space), **values))


async def _rows(
    connection: AsyncConnection, statement: str, space: SpaceKey | None, query: AnalyticsQuery
) -> list[Any]:
    values: dict[str, Any] = {**_columns(space), "days": query.days}
    if ":limit" in statement:
        values["limit"] = query.limit
    return list((await connection.execute(text(statement), values)).mappings())


def _columns(space: SpaceKey | None) -> dict[str, str | None]:
    return {"space_type": space.space_type if space else None, "space_id": space.space_id if space else None}
