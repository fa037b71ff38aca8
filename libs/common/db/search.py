"""What people ask of a search, as a query of the terms that texts are cut into (alembic/versions/0011_search.py)."""

import re

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_PIECE = re.compile(r'(?P<but>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>\S+))')
_QUOTES = str.maketrans("“”„«»", '"""""')
_PHRASES = text("""
SELECT search_phrase(piece)::text FROM unnest(CAST(:pieces AS text[])) WITH ORDINALITY AS asked(piece, number)
ORDER BY number
""")


async def tsquery(connection: AsyncConnection, asked: str) -> str:
    """Returns a tsquery as text: all words, "these in a row", -without, this or that; empty if there is no word.

    A word with marks in it (`my-360-photo`, `don't`) is its parts in a row. An empty query finds nothing, and so do
    words that are only excluded: everything else would have to be read.
    """
    pieces = [*_PIECE.finditer(asked.translate(_QUOTES))]
    words = [piece["phrase"] or piece["word"] or "" for piece in pieces]
    phrases = (await connection.execute(_PHRASES, {"pieces": words})).scalars().all()
    either: list[list[str]] = [[]]
    for piece, phrase in zip(pieces, phrases, strict=True):
        if (piece["word"] or "").lower() == "or" and not piece["but"]:
            either.append([])
        elif phrase:
            either[-1].append(f"{'!' if piece['but'] else ''}({phrase})")
    return " | ".join(" & ".join(all_of_it) for all_of_it in either if any(map(_is_wanted, all_of_it)))


def _is_wanted(term: str) -> bool:
    return not term.startswith("!")
