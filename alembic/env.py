"""Run migrations on PRESENCE_DATABASE_URL, one process at a time."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from libs.common.db.models import metadata

LOCK = 0x50524553  # "PRES": two processes that migrate at once take turns


def _run(connection: Connection) -> None:
    """Runs each migration as a transaction of its own, so that one may hold what it changes for a moment only."""
    connection.execute(text(f"SELECT pg_advisory_lock({LOCK})"))  # until the connection ends
    connection.commit()
    context.configure(
        connection=connection, target_metadata=metadata, compare_type=True, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def _main() -> None:
    url = os.environ.get("PRESENCE_DATABASE_URL")
    if not url:
        raise SystemExit("Set PRESENCE_DATABASE_URL to the database to migrate.")
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


asyncio.run(_main())
