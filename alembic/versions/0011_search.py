"""Search finds what people write, in their script, whatever locale the server was made with.

Texts are cut into terms by functions of the schema, so that what is indexed and what is asked are cut alike, and no
writer can forget it: the terms are generated columns. Upper and lower case, letters and digits are ICU's; the root
collation is in every PostgreSQL that Debian, the official image and others build. The columns are filled from what is
stored: some 100 s for a million messages, during which nobody reads or writes them. A month that was detached already
is left alone.

Notifications are of comments too, and say so.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: None = None
depends_on: None = None

# Scripts that put no spaces between words, Hangul, which puts particles behind them, and emoji: a term is two
# characters that stand together, since no list of words would be right. Kana, Han, Hangul; Thai, Lao, Burmese, Khmer.
PAIRED = (
    r"\u3005-\u3007\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
    r"\u0e00-\u0eff\u1000-\u1049\u104c-\u109f\u1780-\u17d3\u17dc-\u17ff"
    r"\u2600-\u27bf\U0001f000-\U0001faff"
)
# Letters, digits, and the scripts of India, whose vowels are marks; their full stops, U+0964 and U+0965, are none.
IN_WORD = r"[:alnum:]\u0900-\u0963\u0966-\u0dff" + PAIRED
# Accents, points of Hebrew and Arabic, and what is drawn as nothing: joiners, directions, variants, tags.
MARKS = (
    r"\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    r"\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\U000e0020-\U000e007f"
)
LONGEST_TEXT = 4000  # characters
LONGEST_TERM = 64  # characters; of a longer word the beginning
MOST_TERMS = 2000  # as many as a message of 2000 Chinese characters has

TEXT = rf"""
CREATE FUNCTION search_text(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(said) = char_length(said) THEN lower(left(said, {LONGEST_TEXT}) COLLATE "und-x-icu")
ELSE left(normalize(replace(replace(replace(translate(
  regexp_replace(lower(normalize(left(said, {LONGEST_TEXT}), NFKD) COLLATE "und-x-icu"), '[{MARKS}]+', '', 'g'),
  'łøđħıς', 'lodhiσ'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), NFC), {LONGEST_TEXT})
END
"""  # noqa: RUF001  letters that have no accent to take off
# A loop, since a query in its place takes three times as long. A run of n paired characters is n terms, the last of
# them its last character alone.
VECTOR = rf"""
CREATE FUNCTION search_vector(said text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  piece text;
  place integer := 0;
  terms text[];
BEGIN
  FOREACH piece IN ARRAY regexp_split_to_array(
    regexp_replace(public.search_text(coalesce(said, '')), '[{PAIRED}]+', ' \& ', 'g') COLLATE "und-x-icu",
    '[^{IN_WORD}]+')
  LOOP
    CONTINUE WHEN piece = '';
    EXIT WHEN place >= {MOST_TERMS};
    IF piece ~ '^[{PAIRED}]' THEN
      FOR n IN 1 .. char_length(piece) LOOP
        place := place + 1;
        terms[place] := '''' || substr(piece, n, 2) || ''':' || place;
      END LOOP;
    ELSE
      place := place + 1;
      terms[place] := '''' || left(piece, {LONGEST_TERM}) || ''':' || place;
    END IF;
  END LOOP;
  RETURN coalesce(array_to_string(terms[1:{MOST_TERMS}], ' '), '')::tsvector;
END $$
"""
# One character alone is the beginning of any pair; the one that ends a run of pairs says nothing more.
PHRASE = rf"""
CREATE FUNCTION search_phrase(asked text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT coalesce(string_agg(
    coalesce(' <' || place - previous || '> ', '') || '''' || term || '''' || CASE WHEN alone THEN ':*' ELSE '' END,
    '' ORDER BY place), '')::tsquery
  FROM (
    SELECT term, place, alone, lag(place) OVER (ORDER BY place) AS previous
    FROM (
      SELECT lexeme AS term, place, lexeme ~ '^[{PAIRED}]$' AS alone,
        coalesce(lag(lexeme) OVER (ORDER BY place) ~ '^[{PAIRED}]{{2}}$', false) AS ends_a_run
      FROM unnest(public.search_vector(asked)) AS terms(lexeme, places, weights), unnest(places) AS place
    ) AS terms WHERE NOT (alone AND ends_a_run)
  ) AS kept;
END
"""
FUNCTIONS = ("search_phrase", "search_vector", "search_text")
TEXTS = {
    "posts": "author || ' ' || permlink || ' ' || coalesce(title, '') || ' ' || coalesce(description, '')",
    "collaboration_documents": "creator || ' ' || space_id || ' ' || title",
}
FORMER_WORDS = "to_tsvector('simple'::regconfig, regexp_replace(left({text}, 4000), '[^[:alnum:]]+', ' ', 'g'))"


def upgrade() -> None:
    for function in (TEXT, VECTOR, PHRASE):
        op.execute(function)
    op.drop_index("ix_chat_messages_search", "chat_messages")
    _generate("chat_messages", "search_vector(content)")
    for table, text in TEXTS.items():
        op.drop_column(table, "search")  # and the index on it
        _generate(table, f"search_vector({text})")
    of_comment = sa.Column("of_comment", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("notifications", of_comment)


def downgrade() -> None:
    op.execute("DELETE FROM notifications WHERE of_comment")
    op.drop_column("notifications", "of_comment")
    for table, text in TEXTS.items():
        op.drop_column(table, "search")
        _generate(table, FORMER_WORDS.format(text=text))
    op.drop_column("chat_messages", "search")
    op.execute("CREATE INDEX ix_chat_messages_search ON chat_messages USING gin (to_tsvector('simple', content))")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")


def _generate(table: str, terms: str) -> None:
    op.execute(f"ALTER TABLE {table} ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS ({terms}) STORED")
    op.execute(f"CREATE INDEX ix_{table}_search ON {table} USING gin (search)")
