"""Analytics reads sums, kept by day, space and person, instead of all activity; reports of connections become counts.

Activity that is stored already is summed by spaces_auth as soon as it runs; only the stays that ended before are in
no mean, since the rows that knew their beginning are gone.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: None = None
depends_on: None = None

WRITER = "presence_spaces_auth"
MOVE = ("from_type", "from_id", "to_type", "to_id")
SPACE = ("space_type", "space_id")
TABLES = ("space_days", "space_people", "space_moves", "move_people", "visitor_places", "webrtc_days")


def upgrade() -> None:
    op.add_column("space_activity", sa.Column("summed", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_space_activity_unsummed", "space_activity", ["id"], postgresql_where=sa.text("NOT summed"))
    op.create_table(
        "space_days",
        *_keys(*SPACE),
        sa.Column("day", sa.Date(), nullable=False),
        *_counts("visits", "messages", "reactions", "comments", "stays", "stay_seconds", "people"),
        *_counts("last_visitors", "last_people", "last_writers"),
        sa.PrimaryKeyConstraint(*SPACE, "day", name=op.f("pk_space_days")),
    )
    first = ["day", sa.text("people DESC")]
    op.create_index("ix_space_days_people", "space_days", first)
    op.create_index("ix_space_days_documents", "space_days", first, postgresql_where=sa.text("space_type = 'document'"))
    op.create_table(
        "space_people",
        *_keys(*SPACE, "actor"),
        sa.Column("visited_on", sa.Date(), nullable=True),
        sa.Column("active_on", sa.Date(), nullable=False),
        sa.Column("wrote_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint(*SPACE, "actor", name=op.f("pk_space_people")),
    )
    op.create_index("ix_space_people_active_on", "space_people", ["active_on"])
    op.create_table(
        "space_moves",
        *_keys(*MOVE),
        sa.Column("day", sa.Date(), nullable=False),
        *_counts("times", "last_people"),
        sa.PrimaryKeyConstraint(*MOVE, "day", name=op.f("pk_space_moves")),
    )
    op.create_index("ix_space_moves_times", "space_moves", ["day", sa.text("times DESC")])
    op.create_index("ix_space_moves_to", "space_moves", ["to_type", "to_id", "day"])
    op.create_table(
        "move_people",
        *_keys(*MOVE, "actor"),
        sa.Column("moved_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint(*MOVE, "actor", name=op.f("pk_move_people")),
    )
    op.create_index("ix_move_people_moved_on", "move_people", ["moved_on"])
    op.create_table(
        "visitor_places",
        *_keys("actor", *SPACE),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("actor", name=op.f("pk_visitor_places")),
    )
    op.create_index("ix_visitor_places_entered_at", "visitor_places", ["entered_at"])
    _count_reports()
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(TABLES)} TO {WRITER}")


def _count_reports() -> None:
    op.create_table(
        "webrtc_days",
        *_keys(*SPACE),
        sa.Column("day", sa.Date(), nullable=False),
        *_keys("outcome", "path", "media"),
        sa.Column("milliseconds", sa.Integer(), autoincrement=False, nullable=False),
        *_counts("reports"),
        sa.CheckConstraint("outcome IN ('connected', 'failed')", name=op.f("ck_webrtc_days_outcome")),
        sa.PrimaryKeyConstraint(*SPACE, "day", "outcome", "path", "media", "milliseconds", name=op.f("pk_webrtc_days")),
    )
    op.create_index("ix_webrtc_days_day", "webrtc_days", ["day"])
    op.execute("""
        INSERT INTO webrtc_days (space_type, space_id, day, outcome, path, media, milliseconds, reports)
        SELECT scope.space_type, scope.space_id, (created_at AT TIME ZONE 'UTC')::date, outcome, path, media,
          coalesce(trunc(milliseconds, 2 - length(milliseconds::text)), -1), count(*)
        FROM webrtc_reports r,
          LATERAL (SELECT r.space_type, r.space_id WHERE r.space_id IS NOT NULL UNION ALL SELECT '', '') AS scope
        GROUP BY 1, 2, 3, 4, 5, 6, 7""")
    op.drop_table("webrtc_reports")


def downgrade() -> None:
    """The reports of connections that were counted are gone."""
    for table in reversed(TABLES):
        op.drop_table(table)
    op.create_table(
        "webrtc_reports",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=True),
        sa.Column("space_id", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("media", sa.Text(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("outcome IN ('connected', 'failed')", name=op.f("ck_webrtc_reports_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webrtc_reports")),
    )
    op.create_index("ix_webrtc_reports_created_at", "webrtc_reports", ["created_at"])
    op.execute(f"GRANT SELECT, INSERT, DELETE ON webrtc_reports TO {WRITER}")
    op.drop_index("ix_space_activity_unsummed", "space_activity")
    op.drop_column("space_activity", "summed")


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in names]
