"""Events that are held at the primary: each is a scheduled event as well, made by a trigger in the same transaction."""

import sqlalchemy as sa
from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: None = None
depends_on: None = None

WRITER = "presence_sync_worker"
READERS = "presence_spaces_auth, presence_chat, presence_webhook_dispatcher"
NOW = sa.text("now()")

# Whoever the primary names as a host beside the host moderates. A password that changed lets those in no more whom the
# last one let in. An event that is held here and is called the same stays as it is.
HOLD = """
CREATE FUNCTION hold_presence_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE giver CONSTANT text := 'the primary';
BEGIN
  INSERT INTO scheduled_events AS e (id, host, title, description, space_type, space_id, starts_at, ends_at, doors_at,
    closes_at, capacity, access, password_hash, cancelled_at, from_primary)
  VALUES (NEW.code, NEW.host, NEW.title, NEW.description, 'event', NEW.code, NEW.starts_at, NEW.ends_at, NEW.doors_at,
    NEW.closes_at, NEW.capacity, NEW.access, NEW.password_digest, CASE WHEN NEW.cancelled THEN now() END, true)
  ON CONFLICT (id) DO UPDATE SET host = excluded.host, title = excluded.title, description = excluded.description,
    starts_at = excluded.starts_at, ends_at = excluded.ends_at, doors_at = excluded.doors_at,
    closes_at = excluded.closes_at, capacity = excluded.capacity, access = excluded.access,
    password_hash = excluded.password_hash,
    cancelled_at = CASE WHEN NEW.cancelled THEN coalesce(e.cancelled_at, now()) END,
    reminded_at = CASE WHEN excluded.starts_at > greatest(e.starts_at, now()) THEN NULL ELSE e.reminded_at END,
    closed_at = CASE WHEN excluded.closes_at > now() THEN NULL ELSE e.closed_at END,
    sequence = e.sequence + 1, updated_at = now()
  WHERE e.from_primary;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  DELETE FROM space_roles WHERE space_type = 'event' AND space_id = NEW.code AND (
    (given_by = giver AND account <> ALL (NEW.co_hosts))
    OR (given_by = 'the password' AND NEW.password_digest IS DISTINCT FROM OLD.password_digest));
  INSERT INTO space_roles (space_type, space_id, account, role, given_by)
  SELECT 'event', NEW.code, account, 'moderator', giver FROM unnest(NEW.co_hosts) AS account
  ON CONFLICT (space_type, space_id, account) DO UPDATE SET role = 'moderator', given_by = giver;
  RETURN NULL;
END $$
"""
DROP = """
CREATE FUNCTION drop_presence_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
  DELETE FROM scheduled_events WHERE id = OLD.code AND from_primary;
  IF FOUND THEN
    DELETE FROM event_places WHERE event_id = OLD.code;
    DELETE FROM space_roles WHERE space_type = 'event' AND space_id = OLD.code;
  END IF;
  RETURN NULL;
END $$
"""
TRIGGER = "CREATE TRIGGER {name} AFTER {when} ON presence_events FOR EACH ROW EXECUTE FUNCTION {name}_presence_event()"


def upgrade() -> None:
    op.add_column(
        "scheduled_events", sa.Column("from_primary", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_table(
        "presence_events",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("code", "title", "description", "host")),
        sa.Column("co_hosts", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("access", sa.Text(), nullable=False),
        sa.Column("password_digest", sa.Text(), nullable=True),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=False)
            for name in ("starts_at", "ends_at", "doors_at", "closes_at")
        ),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("row_hash", sa.Text(), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint("access IN ('open', 'list', 'password')", name=op.f("ck_presence_events_access")),
        sa.PrimaryKeyConstraint("code", name="pk_presence_events"),
    )
    op.execute(HOLD)
    op.execute(DROP)
    op.execute(TRIGGER.format(name="hold", when="INSERT OR UPDATE"))
    op.execute(TRIGGER.format(name="drop", when="DELETE"))
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON presence_events TO {WRITER}")
    op.execute(f"GRANT SELECT ON presence_events TO {READERS}")


def downgrade() -> None:
    op.execute("DELETE FROM scheduled_events WHERE from_primary")
    op.drop_table("presence_events")
    op.execute("DROP FUNCTION hold_presence_event(), drop_presence_event()")
    op.drop_column("scheduled_events", "from_primary")
