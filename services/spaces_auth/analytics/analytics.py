"""The five views over `space_activity` and the clients' connection reports; all of them reads of at most 30 days."""

from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.contracts.analytics import (
    AnalyticsQuery,
    DayOfEngagement,
    DayOfVoice,
    DocumentActivities,
    DocumentActivity,
    Engagement,
    Movement,
    Popular,
    SpacePopularity,
    Transition,
    VoiceQuality,
)
from libs.common.contracts.auth import Empty
from libs.common.contracts.voice import ConnectionReport
from libs.common.db.engine import Database
from libs.common.db.models.spaces import WebrtcReport
from libs.common.errors import FORBIDDEN, INVALID_INPUT, PresenceError
from libs.common.ids import new_id
from libs.common.metrics import WEBRTC_REPORTS
from libs.common.roles import is_operator
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


class AnalyticsHandlers:
    """Each raises `forbidden` for all but the space's owner and operators, `not_found` for what one may not see."""

    def __init__(self, database: Database, operators: tuple[str, ...]) -> None:
        self._database, self._operators = database, operators

    async def popular(self, caller: Caller, request: AnalyticsQuery) -> Popular:
        return Popular([SpacePopularity(**row) for row in await self._rows(caller, request, _POPULAR)])

    async def engagement(self, caller: Caller, request: AnalyticsQuery) -> Engagement:
        return Engagement([DayOfEngagement(**row) for row in await self._rows(caller, request, _ENGAGEMENT)])

    async def voice(self, caller: Caller, request: AnalyticsQuery) -> VoiceQuality:
        return VoiceQuality([DayOfVoice(**row) for row in await self._rows(caller, request, _VOICE)])

    async def documents(self, caller: Caller, request: AnalyticsQuery) -> DocumentActivities:
        return DocumentActivities([DocumentActivity(**row) for row in await self._rows(caller, request, _DOCUMENTS)])

    async def movement(self, caller: Caller, request: AnalyticsQuery) -> Movement:
        return Movement([Transition(**row) for row in await self._rows(caller, request, _MOVEMENT)])

    async def report_connection(self, caller: Caller, request: ConnectionReport) -> Empty:
        """Counted for its space where the reporter may be there, else for none."""
        WEBRTC_REPORTS.labels(request.outcome, request.path).inc()
        space = _space_of(request)
        async with self._database.transaction() as connection:
            if space:
                standing = await access.look(connection, caller.identity, space, self._operators, caller.address)
                standing.require(Action.ENTER)
            values = {name: getattr(request, name) for name in ("outcome", "path", "media", "milliseconds")}
            where = {"space_type": space.space_type if space else None, "space_id": space.space_id if space else None}
            await connection.execute(insert(WebrtcReport).values(id=new_id(), **where, **values))
        return Empty()

    async def _rows(self, caller: Caller, request: AnalyticsQuery, query: str) -> list[Any]:
        space = _space_of(request)
        async with self._database.read() as connection:
            await self._require(connection, caller, space)
            values = {
                "space_type": space.space_type if space else None,
                "space_id": space.space_id if space else None,
                "days": request.days,
            }
            if ":limit" in query:
                values["limit"] = request.limit
            return list((await connection.execute(text(query), values)).mappings())

    async def _require(self, connection: AsyncConnection, caller: Caller, space: SpaceKey | None) -> None:
        if space:
            standing = await access.look(connection, caller.identity, space, self._operators, caller.address)
            standing.require(Action.ANALYSE)
        elif not is_operator(caller.identity, self._operators):
            raise PresenceError(FORBIDDEN, "Name a space of yours; all spaces are for operators.")


def _space_of(request: AnalyticsQuery | ConnectionReport) -> SpaceKey | None:
    if request.space_type is None and request.space_id is None:
        return None
    if request.space_type is None or request.space_id is None:
        raise PresenceError(INVALID_INPUT, details={"fields": {"space_id": ["With space_type, or neither."]}})
    return SpaceKey.parse(request.space_type, request.space_id)
