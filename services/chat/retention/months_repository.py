"""SQL on chat's monthly partitions: making them ahead, reading one, putting rows back, detaching and dropping.

Table names come from the catalogue or from `TABLES`, never from a request.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.engine import Database
from libs.common.db.models import metadata

TABLES: Final = {  # and the key that orders an archive
    "chat_messages": "id",
    "chat_message_edits": "message_id, id",
    "message_reactions": "message_id, author_key, reaction",
}
BATCH = 1000  # rows read or written at a time
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('chat_retention', 0))"


async def take_lock(connection: AsyncConnection) -> bool:
    """Makes this process the only one that archives until the transaction ends; returns false if another does."""
    return bool((await connection.execute(text(_LOCK))).scalar_one())


async def make(connection: AsyncConnection, month: date) -> None:
    """Makes the partitions of a month that do not exist yet."""
    await connection.execute(text("SELECT chat_partitions.make_month(CAST(:month AS date))"), {"month": month})


async def existing(connection: AsyncConnection) -> list[date]:
    """Returns the months that have partitions, oldest first; also those detached and not yet dropped."""
    statement = text("""
        SELECT to_date(right(relname, 7), 'YYYY_MM') AS month FROM pg_class
        WHERE relnamespace = 'chat_partitions'::regnamespace AND relkind = 'r' AND relname LIKE 'chat\\_messages\\_%'
        ORDER BY month
    """)
    return [row.month for row in await connection.execute(statement)]


async def rows(connection: AsyncConnection, table: str, month: date) -> AsyncIterator[list[str]]:
    """Yields all rows of a partition as JSON texts, in the order of their key, in batches of `BATCH`."""
    stored = f"(SELECT {_stored(table)} FROM {partition(table, month)})"  # noqa: S608
    query = f"SELECT to_json(t)::text FROM {stored} t ORDER BY {TABLES[table]}"  # noqa: S608
    await connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
    async with connection.stream(text(query)) as result:
        async for part in result.scalars().partitions(BATCH):
            yield list(part)


async def put_back(connection: AsyncConnection, table: str, lines: Sequence[str]) -> None:
    """Inserts rows that `rows` yielded; rows that exist already stay as they are."""
    statement = f"""INSERT INTO public.{table} ({_stored(table)}) SELECT {_stored(table)}
        FROM unnest(CAST(:lines AS text[])) AS line, json_populate_record(NULL::public.{table}, line::json)
        ON CONFLICT DO NOTHING"""  # noqa: S608
    await connection.execute(text(statement), {"lines": list(lines)})


def _stored(table: str) -> str:
    """Returns the columns that were written; PostgreSQL generates the rest."""
    return ", ".join(column.name for column in metadata.tables[table].columns if column.computed is None)


async def detach(database: Database, month: date) -> None:
    """Takes a month out of the tables, so that nobody changes it any more. It blocks no writer meanwhile."""
    for table in TABLES:
        async with database.autocommit() as connection:
            state = await _attached(connection, table, month)
            if state:
                how = "FINALIZE" if state == "pending" else "CONCURRENTLY"
                part = partition(table, month)
                await connection.execute(text(f"ALTER TABLE public.{table} DETACH PARTITION {part} {how}"))


async def drop(connection: AsyncConnection, month: date) -> None:
    """Drops a detached month: its tables together, or none of them."""
    for table in TABLES:
        await connection.execute(text(f"DROP TABLE IF EXISTS {partition(table, month)}"))


async def _attached(connection: AsyncConnection, table: str, month: date) -> str | None:
    """Returns `attached`, `pending` after a detaching that was interrupted, or None."""
    statement = text("""
        SELECT CASE WHEN inhdetachpending THEN 'pending' ELSE 'attached' END FROM pg_inherits
        WHERE inhparent = CAST(:parent AS regclass) AND inhrelid = to_regclass(:child)
    """)
    named = {"parent": f"public.{table}", "child": partition(table, month)}
    state: str | None = (await connection.execute(statement, named)).scalar_one_or_none()
    return state


def partition(table: str, month: date) -> str:
    """Returns the partition's name, as `chat_partitions.make_month` gives it."""
    return f"chat_partitions.{table}_{month:%Y_%m}"
