"""The months of chat: partitions that the chat service makes ahead, detaches and drops itself.

It owns the three partitioned tables for that; `chat_partitions.make_month` is the one place that knows how a month's
partitions are made, here and in the service.
"""

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: None = None
depends_on: None = None

PARTITIONED = {"chat_messages": "id", "chat_message_edits": "message_id", "message_reactions": "message_id"}

# A UUIDv7 begins with 48 bits of milliseconds since 1970, so the smallest of a month is that time and zeros.
_FIRST_ID = """
CREATE FUNCTION chat_partitions.first_id(month date) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM month::timestamp) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$
"""

# Made apart and attached: that takes no lock which a reader or a writer would wait for.
_MAKE_MONTH = """
CREATE FUNCTION chat_partitions.make_month(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  month date := date_trunc('month', day)::date;
  parent text;
  partition text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('chat_partitions', 0));
  FOREACH parent IN ARRAY ARRAY['chat_messages', 'chat_message_edits', 'message_reactions'] LOOP
    partition := parent || to_char(month, '_YYYY_MM');
    CONTINUE WHEN to_regclass('chat_partitions.' || partition) IS NOT NULL;
    EXECUTE format('CREATE TABLE chat_partitions.%I (LIKE public.%I INCLUDING ALL)', partition, parent);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION chat_partitions.%I FOR VALUES FROM (%L) TO (%L)',
      parent, partition, chat_partitions.first_id(month),
      chat_partitions.first_id((month + interval '1 month')::date));
  END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA chat_partitions")
    op.execute(_FIRST_ID)
    op.execute(_MAKE_MONTH)
    op.execute("GRANT USAGE ON SCHEMA chat_partitions TO PUBLIC")
    op.execute("GRANT CREATE ON SCHEMA chat_partitions TO presence_chat")
    op.execute("GRANT CREATE ON SCHEMA public TO presence_chat")  # an owner needs it, for the moment of becoming one
    for table in PARTITIONED:
        op.execute(f"ALTER TABLE {table} OWNER TO presence_chat")
    op.execute("REVOKE CREATE ON SCHEMA public FROM presence_chat")
    op.execute("SET LOCAL ROLE presence_chat")
    for month in (-1, 0, 1, 2):
        op.execute(f"SELECT chat_partitions.make_month((now() AT TIME ZONE 'UTC' + interval '{month} month')::date)")
    op.execute("RESET ROLE")


def downgrade() -> None:
    """What is in the partitions goes with them."""
    for table in PARTITIONED:
        op.execute(f"ALTER TABLE {table} OWNER TO CURRENT_USER")
    op.execute("DROP SCHEMA chat_partitions CASCADE")
