"""The log lies in months, as chat does: a month whose time is over goes as a file, not row by row.

Partitions are by the event's id, a UUIDv7, which begins with its time. So the id is still unique in the whole log. A
space's `seq` is unique in each month, by an index of the partition; that no number comes again in another month is the
counter's doing, which only rises.

What is in the log stays where it is: the old table becomes the partition of everything until the end of this month. It
is read once for that, less than a second for a million events, while everybody goes on writing; the change itself takes
milliseconds, for which it waits at most `LOCK_WAIT`. An empty log begins with months at once.

No service may drop a month or delete an event. Functions of the owner do, for spaces_auth alone, and nothing that is
younger than a day or not published yet. Every service that writes to the log may have the next months made.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: None = None
depends_on: None = None

LOCK_WAIT = "5s"
WRITERS = "presence_spaces_auth, presence_chat, presence_sync_worker, presence_webhook_dispatcher"
PRUNER = "presence_spaces_auth"
CHAT = "presence_chat"
STAYS = "name IN ('spaces.member_joined', 'spaces.member_left')"
INDEXES = {
    "ix_event_log_unpublished": ("id", "published_at IS NULL"),
    "ix_event_log_stays": ("occurred_at", STAYS),
    "ix_event_log_subject": ("subject", "subject IS NOT NULL"),
}

# Made apart and attached, which takes no lock that a reader or a writer would wait for.
MAKE_MONTH = """
CREATE FUNCTION log_partitions.make_month(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  month date := date_trunc('month', day)::date;
  partition text := 'event_log' || to_char(month, '_YYYY_MM');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('log_partitions', 0));
  IF to_regclass('log_partitions.' || partition) IS NOT NULL OR EXISTS (
    SELECT FROM pg_class WHERE relnamespace = 'log_partitions'::regnamespace AND relkind = 'r'
      AND relname LIKE 'event\\_log\\_until\\_%' AND right(relname, 7) >= to_char(month, 'YYYY_MM')) THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE log_partitions.%I (LIKE public.event_log INCLUDING ALL)', partition);
  EXECUTE format('CREATE UNIQUE INDEX ON log_partitions.%I (space_type, space_id, seq)', partition);
  EXECUTE format('ALTER TABLE public.event_log ATTACH PARTITION log_partitions.%I FOR VALUES FROM (%L) TO (%L)',
    partition, chat_partitions.first_id(month), chat_partitions.first_id((month + interval '1 month')::date));
END $$
"""
MAKE_MONTHS_AHEAD = """
CREATE FUNCTION log_partitions.make_months_ahead() RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
  SELECT log_partitions.make_month((now() AT TIME ZONE 'UTC' + make_interval(months => ahead))::date)
  FROM generate_series(0, 2) AS ahead
$$
"""
# Whoever reads the log, a dump for instance, holds this up for `lock_timeout` and no longer, and nobody else longer.
DROP_MONTH = """
CREATE FUNCTION drop_log_month(before timestamptz) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  partition text;
  is_waited_for boolean;
BEGIN
  FOR partition IN
    SELECT relname FROM pg_class WHERE relnamespace = 'log_partitions'::regnamespace AND relkind = 'r'
      AND to_date(right(relname, 7), 'YYYY_MM') + interval '1 month'
        <= least(before, now() - interval '1 day') AT TIME ZONE 'UTC'
    ORDER BY right(relname, 7)
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM log_partitions.%I WHERE published_at IS NULL)', partition)
      INTO is_waited_for;
    CONTINUE WHEN is_waited_for;
    EXECUTE format('DROP TABLE log_partitions.%I', partition);
    RETURN partition;
  END LOOP;
  RETURN NULL;
END $$
"""
DELETE_EVENTS = """
CREATE OR REPLACE FUNCTION {named}(before timestamptz, most int) RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM event_log WHERE id = ANY (ARRAY(
      SELECT id FROM event_log WHERE {which} AND published_at IS NOT NULL LIMIT most))
    RETURNING 1)
  SELECT count(*) FROM gone
$$
"""
OLD = "chat_partitions.first_id((least(before, now() - interval '1 day') AT TIME ZONE 'UTC')::date)"
OLD_STAYS = f"occurred_at < least(before, now() - interval '1 day') AND {STAYS}"
# A delivery of a month that is gone from the log already is known by its event's id, any other by the message's.
FORGET_DELIVERED = """
CREATE FUNCTION forget_delivered_words(month date) RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
  WITH bounds AS (
    SELECT chat_partitions.first_id(month) AS first,
      chat_partitions.first_id(least((month + interval '1 month')::date, now()::date - 1)) AS following
  ), said AS (
    SELECT d.id FROM bounds, webhook_subscriptions s JOIN webhook_deliveries d ON d.subscription_id = s.id
    WHERE d.event_id < bounds.following
    UNION
    SELECT d.id FROM bounds, event_log e
      JOIN webhook_subscriptions s ON (s.space_type, s.space_id) = (e.space_type, e.space_id)
      JOIN webhook_deliveries d ON d.subscription_id = s.id AND d.event_id = e.id
    WHERE e.subject >= bounds.first AND e.subject < bounds.following AND e.id >= bounds.following
  ), bodies AS (
    SELECT d.id, convert_from(d.body, 'UTF8')::jsonb AS body FROM webhook_deliveries d JOIN said ON said.id = d.id
    WHERE d.event = 'chat'
  ), forgotten AS (
    UPDATE webhook_deliveries d SET body = convert_to(jsonb_set(b.body, '{data}',
      b.body->'data' || '{"message": null, "mentions": [], "is_deleted": true}')::text, 'UTF8')
    FROM bodies b WHERE d.id = b.id AND b.body->'data'->>'message' IS NOT NULL RETURNING 1)
  SELECT count(*) FROM forgotten
$$
"""
GRANTS = {
    "log_partitions.make_months_ahead()": WRITERS,
    "drop_log_month(timestamptz)": PRUNER,
    "forget_delivered_words(date)": CHAT,
}


def upgrade() -> None:
    _prove_where_it_ends()
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
    op.execute("CREATE SCHEMA log_partitions")
    op.execute("ALTER TABLE event_log SET SCHEMA log_partitions")
    op.execute("DROP INDEX log_partitions.ix_event_log_occurred_at")  # nothing asks for it
    _make_parent()
    op.execute(MAKE_MONTH)
    _take_in()
    for month in (-1, 0, 1, 2):
        op.execute(f"SELECT log_partitions.make_month((now() AT TIME ZONE 'UTC' + interval '{month} month')::date)")
    for statement in (MAKE_MONTHS_AHEAD, DROP_MONTH, FORGET_DELIVERED):
        op.execute(statement)
    op.execute(DELETE_EVENTS.format(named="delete_events", which=f"id < {OLD}"))
    op.execute(DELETE_EVENTS.format(named="delete_stay_events", which=OLD_STAYS))
    op.execute(f"GRANT USAGE ON SCHEMA log_partitions TO {WRITERS}")
    op.execute("REVOKE ALL ON FUNCTION log_partitions.make_month(date) FROM PUBLIC")
    for function, roles in GRANTS.items():
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {roles}")


def _prove_where_it_ends() -> None:
    """Reads the table through while everybody writes, so that attaching need not. The bound lies a week ahead at least:
    what is written meanwhile is within it."""
    bound = "chat_partitions.first_id((date_trunc('month', now() AT TIME ZONE 'UTC' + interval '7 days')" \
            " + interval '1 month')::date)"  # fmt: skip
    with op.get_context().autocommit_block():
        op.execute(f"SET lock_timeout = '{LOCK_WAIT}'")
        op.execute("ALTER TABLE event_log DROP CONSTRAINT IF EXISTS ck_event_log_until")
        op.execute(f"""DO $$ BEGIN EXECUTE format(
          'ALTER TABLE event_log ADD CONSTRAINT ck_event_log_until CHECK (id < %L) NOT VALID', {bound}); END $$""")
        op.execute("ALTER TABLE event_log VALIDATE CONSTRAINT ck_event_log_until")
        op.execute("RESET lock_timeout")


def _make_parent() -> None:
    op.execute("CREATE TABLE event_log (LIKE log_partitions.event_log INCLUDING DEFAULTS) PARTITION BY RANGE (id)")
    op.create_primary_key("pk_event_log", "event_log", ["id"])
    for name, (column, where) in INDEXES.items():
        op.create_index(name, "event_log", [column], postgresql_where=sa.text(where))
    op.execute(f"GRANT SELECT, INSERT, UPDATE (published_at) ON event_log TO {WRITERS}")
    op.execute(f"GRANT UPDATE (payload) ON event_log TO {CHAT}")


def _take_in() -> None:
    """Attaches what was written so far, by the bound that is proved; an empty table goes."""
    op.execute(r"""
        DO $$
        DECLARE
          bound text := (SELECT (regexp_match(pg_get_constraintdef(oid), '''([0-9a-f-]{36})'''))[1] FROM pg_constraint
            WHERE conname = 'ck_event_log_until' AND conrelid = 'log_partitions.event_log'::regclass);
          milliseconds bigint := ('x' || translate(left(bound, 13), '-', ''))::bit(48)::bigint;
          last_day timestamp := to_timestamp(milliseconds / 1000.0) AT TIME ZONE 'UTC' - interval '1 day';
          partition text := 'event_log_until_' || to_char(last_day, 'YYYY_MM');
        BEGIN
          IF NOT EXISTS (SELECT FROM log_partitions.event_log) THEN
            DROP TABLE log_partitions.event_log;
            RETURN;
          END IF;
          EXECUTE format('ALTER TABLE log_partitions.event_log RENAME TO %I', partition);
          EXECUTE format('ALTER TABLE event_log ATTACH PARTITION log_partitions.%I FOR VALUES FROM (MINVALUE) TO (%L)',
            partition, bound);
          EXECUTE format('ALTER TABLE log_partitions.%I DROP CONSTRAINT ck_event_log_until', partition);
        END $$
    """)


DELETE_AS_BEFORE = """
CREATE OR REPLACE FUNCTION {named}(before timestamptz, most int) RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
WITH gone AS (
  DELETE FROM event_log WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM event_log
    WHERE occurred_at < least(before, now() - interval '1 day') AND published_at IS NOT NULL AND {which} LIMIT most))
  RETURNING 1)
SELECT count(*) FROM gone
$$
"""


def downgrade() -> None:
    """Copies the log back into one table, some 12 s for a million events, which nobody reads or writes meanwhile."""
    for function in ("forget_delivered_words(date)", "drop_log_month(timestamptz)"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("CREATE SCHEMA log_in_months")  # for a moment: the names of indexes are needed again
    op.execute("ALTER TABLE event_log SET SCHEMA log_in_months")
    op.execute("CREATE TABLE event_log (LIKE log_in_months.event_log INCLUDING DEFAULTS)")
    op.execute("INSERT INTO event_log SELECT * FROM log_in_months.event_log")
    op.create_primary_key("pk_event_log", "event_log", ["id"])
    op.create_unique_constraint("uq_event_log_seq", "event_log", ["space_type", "space_id", "seq"])
    op.create_index("ix_event_log_occurred_at", "event_log", ["occurred_at"])
    for name, (column, where) in INDEXES.items():
        op.create_index(name, "event_log", [column], postgresql_where=sa.text(where))
    op.execute(f"GRANT SELECT, INSERT, UPDATE (published_at) ON event_log TO {WRITERS}")
    op.execute(f"GRANT UPDATE (payload) ON event_log TO {CHAT}")
    op.execute(DELETE_AS_BEFORE.format(named="delete_events", which="true"))
    op.execute(DELETE_AS_BEFORE.format(named="delete_stay_events", which=STAYS))
    op.execute("DROP SCHEMA log_in_months CASCADE")
    op.execute("DROP SCHEMA log_partitions CASCADE")
