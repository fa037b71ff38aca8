"""Reactions have one spelling: an emoji that stood alone without U+FE0F is counted with the coloured one."""

import regex
import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: None = None
depends_on: None = None

_BLACK_AND_WHITE = regex.compile(r"[\p{Extended_Pictographic}--\p{Emoji_Presentation}]", regex.VERSION1)
_ALONE = "SELECT DISTINCT reaction FROM message_reactions WHERE char_length(reaction) = 1"
_MESSAGES = """
CREATE TEMPORARY TABLE respelled ON COMMIT DROP AS
SELECT DISTINCT message_id FROM message_reactions WHERE reaction = ANY(:misspelled)"""
_SPELL = """
INSERT INTO message_reactions (message_id, author_key, reaction, display_name, created_at)
SELECT message_id, author_key, reaction || U&'\\FE0F', display_name, created_at
FROM message_reactions WHERE reaction = ANY(:misspelled) ON CONFLICT DO NOTHING"""
_FORGET = "DELETE FROM message_reactions WHERE reaction = ANY(:misspelled)"
# With the first 20 names of each, as chat keeps them.
_SUM_UP = """
UPDATE chat_messages SET reactions = summed.reactions FROM (
  SELECT message_id, jsonb_object_agg(reaction, jsonb_build_object('count', count, 'by', names)) AS reactions FROM (
    SELECT message_id, reaction, count(*) AS count,
      (array_agg(display_name ORDER BY created_at, author_key))[1\\:20] AS names
    FROM message_reactions JOIN respelled USING (message_id) GROUP BY message_id, reaction
  ) AS counted GROUP BY message_id
) AS summed WHERE chat_messages.id = summed.message_id"""


def upgrade() -> None:
    connection = op.get_bind()
    misspelled = [one for one in connection.scalars(sa.text(_ALONE)) if _BLACK_AND_WHITE.fullmatch(one)]
    if misspelled:
        for statement in (_MESSAGES, _SPELL, _FORGET):
            connection.execute(sa.text(statement), {"misspelled": misspelled})
        connection.execute(sa.text(_SUM_UP))


def downgrade() -> None:
    """A reaction's spelling means nothing else than before."""
