"""What visits leave in the log and in the counters ends; a counter that is removed gives no number out again.

No service may delete from the log: two functions of the owner do it, for spaces_auth alone, and only what has an end.
Whoever takes that service over cannot have them delete anything younger than a day, or reissue a number.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: None = None
depends_on: None = None

PRUNER = "presence_spaces_auth"
STAYS = "name IN ('spaces.member_joined', 'spaces.member_left')"
FUNCTIONS = (
    "delete_events(timestamptz, int)",
    "delete_stay_events(timestamptz, int)",
    "delete_unused_counters(timestamptz, int)",
)
HEADER = "RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS"
DELETE_EVENTS = """
WITH gone AS (
  DELETE FROM event_log WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM event_log
    WHERE occurred_at < least(before, now() - interval '1 day') AND published_at IS NOT NULL AND {which} LIMIT most))
  RETURNING 1)
SELECT count(*) FROM gone
"""
# The floor has held for 20 s: twice as long as a statement may run, so none that takes a number knows an older one.
DELETE_COUNTERS = """
WITH gone AS (
  DELETE FROM space_counters WHERE (space_type, space_id) IN (
    SELECT c.space_type, c.space_id FROM space_counters c, space_counters floor
    WHERE floor.space_type = '' AND floor.space_id = '' AND floor.used_at < now() - interval '20 seconds'
      AND c.seq <= floor.seq AND c.space_type IN ('event', 'community')
      AND c.used_at < least(before, now() - interval '1 day')
      AND NOT EXISTS (SELECT 1 FROM event_log e WHERE (e.space_type, e.space_id) = (c.space_type, c.space_id))
      AND NOT EXISTS (SELECT 1 FROM chat_messages m WHERE (m.space_type, m.space_id) = (c.space_type, c.space_id))
    LIMIT most FOR UPDATE OF c SKIP LOCKED)
  RETURNING 1)
SELECT count(*) FROM gone
"""


def upgrade() -> None:
    moment = sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    op.add_column("space_counters", moment)
    op.create_index("ix_event_log_stays", "event_log", ["occurred_at"], postgresql_where=sa.text(STAYS))
    op.create_index("ix_presence_sessions_left_at", "presence_sessions", ["left_at"])
    op.drop_index("ix_space_moves_to", "space_moves")
    for end in ("from", "to"):  # a day's first ways from a space, and to it
        key = [f"{end}_type", f"{end}_id", "day", sa.text("times DESC")]
        op.create_index(f"ix_space_moves_{end}", "space_moves", key)
    bodies = (DELETE_EVENTS.format(which="true"), DELETE_EVENTS.format(which=STAYS), DELETE_COUNTERS)
    for function, body in zip(FUNCTIONS, bodies, strict=True):
        named = function.replace("(timestamptz, int)", "(before timestamptz, most int)")
        op.execute(f"CREATE FUNCTION {named} {HEADER} $${body}$$")
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {PRUNER}")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ix_space_moves_from", "space_moves")
    op.drop_index("ix_space_moves_to", "space_moves")
    op.create_index("ix_space_moves_to", "space_moves", ["to_type", "to_id", "day"])
    op.drop_index("ix_presence_sessions_left_at", "presence_sessions")
    op.drop_index("ix_event_log_stays", "event_log")
    op.drop_column("space_counters", "used_at")
