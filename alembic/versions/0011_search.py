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
RETURN left(normalize(replace(replace(replace(translate(
  regexp_replace(
    normalize(lower(normalize(left(said, {LONGEST_TEXT}), NFKC) COLLATE "und-x-icu"), NFD), '[{MARKS}]+', '', 'g'),
  'łøđħıς', 'lodhiσ'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), NFC), {LONGEST_TEXT})
"""  # noqa: RUF001  letters that have no accent to take off
# A run of paired characters of length n is n terms, the last of one character; `parts` is n, and 0 for a word.
TERMS = rf"""
CREATE FUNCTION search_terms(said text) RETURNS TABLE (term text, place bigint, part integer, parts integer)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
  SELECT CASE WHEN runs.parts > 0 THEN substr(runs.run, numbers.part, 2) ELSE left(runs.run, {LONGEST_TERM}) END,
    row_number() OVER (ORDER BY runs.number, numbers.part), numbers.part, runs.parts
  FROM (
    SELECT found[1] AS run, number, CASE WHEN found[1] ~ '^[{PAIRED}]' THEN char_length(found[1]) ELSE 0 END AS parts
    FROM regexp_matches(
      regexp_replace(public.search_text(said), '[{PAIRED}]+', ' \& ', 'g') COLLATE "und-x-icu", '[{IN_WORD}]+', 'g'
    ) WITH ORDINALITY AS matches(found, number)
  ) AS runs CROSS JOIN LATERAL generate_series(1, greatest(runs.parts, 1)) AS numbers(part)
  ORDER BY runs.number, numbers.part LIMIT {MOST_TERMS};
END
"""
VECTOR = """
CREATE FUNCTION search_vector(said text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN (
    SELECT coalesce(string_agg('''' || term || ''':' || place, ' '), '')::tsvector FROM public.search_terms(said)
  );
END $$
"""
# One character alone is the beginning of a pair, or the last of a run.
PHRASE = """
CREATE FUNCTION search_phrase(asked text) RETURNS tsquery LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN (
    SELECT coalesce(string_agg(
      coalesce(' <' || place - previous || '> ', '') || '''' || term || '''' || CASE parts WHEN 1 THEN ':*' ELSE '' END,
      '' ORDER BY place), '')::tsquery
    FROM (
      SELECT term, place, parts, lag(place) OVER (ORDER BY place) AS previous
      FROM public.search_terms(asked) WHERE part = 1 OR part < parts
    ) AS terms
  );
END $$
"""
FUNCTIONS = ("search_phrase", "search_vector", "search_terms", "search_text")
TEXTS = {
    "posts": "author || ' ' || permlink || ' ' || coalesce(title, '') || ' ' || coalesce(description, '')",
    "collaboration_documents": "creator || ' ' || space_id || ' ' || title",
}
FORMER_WORDS = "to_tsvector('simple'::regconfig, regexp_replace(left({text}, 4000), '[^[:alnum:]]+', ' ', 'g'))"


def upgrade() -> None:
    for function in (TEXT, TERMS, VECTOR, PHRASE):
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
