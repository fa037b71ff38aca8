"""Finding spaces among a million posts: columns to read lists by, partial indexes, full-text search."""

from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: None = None
depends_on: None = None

BY_TIME = "(-(coalesce(extract(epoch FROM created_at AT TIME ZONE 'UTC'), 0) * 1000))::bigint"
PUBLIC = {"posts": "NOT hidden AND NOT flagged", "collaboration_documents": "is_public AND NOT is_deleted"}
WORDS = "to_tsvector('simple'::regconfig, regexp_replace(left({text}, 4000), '[^[:alnum:]]+', ' ', 'g'))"
TEXTS = {
    "posts": "author || ' ' || permlink || ' ' || coalesce(title, '') || ' ' || coalesce(description, '')",
    "collaboration_documents": "creator || ' ' || space_id || ' ' || title",
}
RANKS = {"posts": "-votes", "collaboration_documents": "0::bigint"}
KEYS = {"posts": "author, permlink", "collaboration_documents": "space_id"}


def upgrade() -> None:
    op.drop_index("ix_posts_type_votes", "posts")
    op.drop_index("ix_posts_votes", "posts")
    for table, words in TEXTS.items():
        op.execute(f"""
            ALTER TABLE {table}
              ADD COLUMN by_votes bigint NOT NULL GENERATED ALWAYS AS ({RANKS[table]}) STORED,
              ADD COLUMN by_time bigint NOT NULL GENERATED ALWAYS AS ({BY_TIME}) STORED,
              ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS ({WORDS.format(text=words)}) STORED
        """)
        op.execute(f"CREATE INDEX ix_{table}_search ON {table} USING gin (search)")
        for rank in ("by_votes", "by_time"):
            op.execute(f"CREATE INDEX ix_{table}_{rank} ON {table} ({rank}, {KEYS[table]}) WHERE {PUBLIC[table]}")
    for rank in ("by_votes", "by_time"):
        op.execute(
            f"CREATE INDEX ix_posts_type_{rank} ON posts (type, {rank}, author, permlink) WHERE {PUBLIC['posts']}"
        )
    op.execute(f"CREATE INDEX ix_posts_private ON posts (author) WHERE NOT ({PUBLIC['posts']})")
    op.execute("CREATE INDEX ix_collaboration_documents_creator ON collaboration_documents (creator)")


def downgrade() -> None:
    op.drop_index("ix_collaboration_documents_creator", "collaboration_documents")
    op.drop_index("ix_posts_private", "posts")
    for table in TEXTS:
        for column in ("by_votes", "by_time", "search"):
            op.drop_column(table, column)  # and the indexes on it
    op.execute("CREATE INDEX ix_posts_votes ON posts (votes DESC, author, permlink)")
    op.execute("CREATE INDEX ix_posts_type_votes ON posts (type, votes DESC)")
