"""SQL that sums `space_activity` up: a batch of rows of one day is added to the sums of its spaces, and of all spaces.

Every statement reads the rows whose ids it is given, and reads what is stored as it was before the statement, so a
person who was counted on an earlier day is taken from there and added here in one step.
"""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

BATCH = 5000
VISIT, LEAVE = "activity = 'spaces.member_joined'", "activity = 'spaces.member_left'"
MESSAGE, REACTION = "activity = 'chat.message_posted'", "activity = 'chat.reaction_changed'"
COMMENT = "activity LIKE 'documents.%'"

_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('activity_sums', 0))")
_WAITING = text("""
SELECT id, (occurred_at AT TIME ZONE 'UTC')::date AS day FROM space_activity WHERE NOT summed ORDER BY id LIMIT :limit
""")
_DONE = text("UPDATE space_activity SET summed = true WHERE id = ANY(cast(:ids AS bigint[]))")

_SUM = text(f"""
WITH acts AS (
  SELECT scope.space_type, scope.space_id, actor, {VISIT} AS visit, {MESSAGE} AS message, {REACTION} AS reaction,
    {COMMENT} AS comment, CASE WHEN {LEAVE} THEN extract(epoch FROM s.left_at - s.joined_at) END AS stay
  FROM space_activity a LEFT JOIN presence_sessions s ON s.id = cast(data->>'session_id' AS uuid),
    LATERAL (VALUES (a.space_type, a.space_id), ('', '')) AS scope(space_type, space_id)
  WHERE a.id = ANY(cast(:ids AS bigint[]))
),
people AS (
  SELECT space_type, space_id, actor, bool_or(visit) AS visit, bool_or(comment) AS comment
  FROM acts GROUP BY space_type, space_id, actor
),
before AS (
  SELECT people.*, visited_on, active_on, wrote_on
  FROM people LEFT JOIN space_people USING (space_type, space_id, actor)
),
now_known AS (
  INSERT INTO space_people AS p (space_type, space_id, actor, visited_on, active_on, wrote_on)
  SELECT space_type, space_id, actor, CASE WHEN visit THEN cast(:day AS date) END, cast(:day AS date),
    CASE WHEN comment THEN cast(:day AS date) END FROM people
  ON CONFLICT (space_type, space_id, actor) DO UPDATE SET
    visited_on = greatest(p.visited_on, excluded.visited_on), active_on = greatest(p.active_on, excluded.active_on),
    wrote_on = greatest(p.wrote_on, excluded.wrote_on)
),
changes AS (
  SELECT space_type, space_id, cast(:day AS date) AS day, count(*) FILTER (WHERE visit) AS visits,
    count(*) FILTER (WHERE message) AS messages, count(*) FILTER (WHERE reaction) AS reactions,
    count(*) FILTER (WHERE comment) AS comments, count(stay) AS stays, coalesce(sum(stay), 0) AS stay_seconds,
    0 AS people, 0 AS last_visitors, 0 AS last_people, 0 AS last_writers
  FROM acts GROUP BY space_type, space_id
  UNION ALL
  SELECT space_type, space_id, :day, 0, 0, 0, 0, 0, 0,
    count(*) FILTER (WHERE active_on < :day OR active_on IS NULL),
    count(*) FILTER (WHERE visit AND (visited_on < :day OR visited_on IS NULL)),
    count(*) FILTER (WHERE active_on < :day OR active_on IS NULL),
    count(*) FILTER (WHERE comment AND (wrote_on < :day OR wrote_on IS NULL))
  FROM before GROUP BY space_type, space_id
  UNION ALL
  SELECT space_type, space_id, visited_on, 0, 0, 0, 0, 0, 0, 0, -count(*), 0, 0
  FROM before WHERE visit AND visited_on < :day GROUP BY space_type, space_id, visited_on
  UNION ALL
  SELECT space_type, space_id, active_on, 0, 0, 0, 0, 0, 0, 0, 0, -count(*), 0
  FROM before WHERE active_on < :day GROUP BY space_type, space_id, active_on
  UNION ALL
  SELECT space_type, space_id, wrote_on, 0, 0, 0, 0, 0, 0, 0, 0, 0, -count(*)
  FROM before WHERE comment AND wrote_on < :day GROUP BY space_type, space_id, wrote_on
)
INSERT INTO space_days AS d (space_type, space_id, day, visits, messages, reactions, comments, stays, stay_seconds,
  people, last_visitors, last_people, last_writers)
SELECT space_type, space_id, day, sum(visits), sum(messages), sum(reactions), sum(comments), sum(stays),
  round(sum(stay_seconds)), sum(people), sum(last_visitors), sum(last_people), sum(last_writers)
FROM changes GROUP BY space_type, space_id, day
ON CONFLICT (space_type, space_id, day) DO UPDATE SET
  visits = d.visits + excluded.visits, messages = d.messages + excluded.messages,
  reactions = d.reactions + excluded.reactions, comments = d.comments + excluded.comments,
  stays = d.stays + excluded.stays, stay_seconds = d.stay_seconds + excluded.stay_seconds,
  people = d.people + excluded.people, last_visitors = d.last_visitors + excluded.last_visitors,
  last_people = d.last_people + excluded.last_people, last_writers = d.last_writers + excluded.last_writers
""")  # noqa: S608  conditions of ours

_MOVE = text(f"""
WITH visits AS (
  SELECT actor, space_type, space_id, occurred_at, id FROM space_activity
  WHERE id = ANY(cast(:ids AS bigint[])) AND {VISIT}
),
steps AS (
  SELECT actor, space_type AS to_type, space_id AS to_id, lag(space_type) OVER went AS from_type,
    lag(space_id) OVER went AS from_id
  FROM (
    SELECT * FROM visits UNION ALL
    SELECT p.actor, p.space_type, p.space_id, p.entered_at, 0 FROM visitor_places p
    WHERE p.actor IN (SELECT actor FROM visits)
  ) AS entered
  WINDOW went AS (PARTITION BY actor ORDER BY occurred_at, id)
),
now_there AS (
  INSERT INTO visitor_places AS p (actor, space_type, space_id, entered_at)
  SELECT DISTINCT ON (actor) actor, space_type, space_id, occurred_at FROM visits
  ORDER BY actor, occurred_at DESC, id DESC
  ON CONFLICT (actor) DO UPDATE SET space_type = excluded.space_type, space_id = excluded.space_id,
    entered_at = excluded.entered_at WHERE p.entered_at <= excluded.entered_at
),
moves AS (
  SELECT from_type, from_id, to_type, to_id, actor, count(*) AS times FROM steps
  WHERE (from_type, from_id) <> (to_type, to_id) GROUP BY from_type, from_id, to_type, to_id, actor
),
before AS (
  SELECT moves.*, moved_on FROM moves LEFT JOIN move_people USING (from_type, from_id, to_type, to_id, actor)
),
now_known AS (
  INSERT INTO move_people AS p (from_type, from_id, to_type, to_id, actor, moved_on)
  SELECT from_type, from_id, to_type, to_id, actor, :day FROM moves
  ON CONFLICT (from_type, from_id, to_type, to_id, actor) DO UPDATE SET
    moved_on = greatest(p.moved_on, excluded.moved_on)
),
changes AS (
  SELECT from_type, from_id, to_type, to_id, cast(:day AS date) AS day, sum(times) AS times,
    count(*) FILTER (WHERE moved_on < :day OR moved_on IS NULL) AS last_people
  FROM before GROUP BY from_type, from_id, to_type, to_id
  UNION ALL
  SELECT from_type, from_id, to_type, to_id, moved_on, 0, -count(*)
  FROM before WHERE moved_on < :day GROUP BY from_type, from_id, to_type, to_id, moved_on
)
INSERT INTO space_moves AS m (from_type, from_id, to_type, to_id, day, times, last_people)
SELECT from_type, from_id, to_type, to_id, day, sum(times), sum(last_people)
FROM changes GROUP BY from_type, from_id, to_type, to_id, day
ON CONFLICT (from_type, from_id, to_type, to_id, day) DO UPDATE SET
  times = m.times + excluded.times, last_people = m.last_people + excluded.last_people
""")  # noqa: S608


async def take_lock(connection: AsyncConnection) -> bool:
    """Makes this process the only one that sums up until the transaction ends; returns false if another does."""
    return bool((await connection.execute(_LOCK)).scalar_one())


async def waiting(connection: AsyncConnection) -> dict[date, list[int]]:
    """Returns at most `BATCH` rows that are in no sum yet, the ids by day (UTC), the oldest day first."""
    by_day: dict[date, list[int]] = {}
    for row in await connection.execute(_WAITING, {"limit": BATCH}):
        by_day.setdefault(row.day, []).append(row.id)
    return dict(sorted(by_day.items()))


async def add(connection: AsyncConnection, day: date, ids: Sequence[int]) -> None:
    """Adds rows of one day to the sums, and marks them as added."""
    given = {"ids": list(ids), "day": day}
    await connection.execute(_SUM, given)
    await connection.execute(_MOVE, given)
    await connection.execute(_DONE, {"ids": list(ids)})
