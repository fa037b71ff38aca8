"""What an edited message said goes from its webhooks with the month that is archived, as what it said at first does."""

from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: None = None
depends_on: None = None

FORGET_DELIVERED = """
CREATE OR REPLACE FUNCTION forget_delivered_words(month date) RETURNS bigint LANGUAGE sql SECURITY DEFINER
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
    WHERE {events}
  ), forgotten AS (
    UPDATE webhook_deliveries d SET body = convert_to(jsonb_set(b.body, '{{data}}',
      b.body->'data' || '{{"message": null, "mentions": [], "is_deleted": true}}')::text, 'UTF8')
    FROM bodies b WHERE d.id = b.id AND b.body->'data'->>'message' IS NOT NULL RETURNING 1)
  SELECT count(*) FROM forgotten
$$
"""


def upgrade() -> None:
    op.execute(FORGET_DELIVERED.format(events="d.event IN ('chat', 'chat_edited')"))


def downgrade() -> None:
    op.execute(FORGET_DELIVERED.format(events="d.event = 'chat'"))
