"""Reads that PostgreSQL holds for as long as a test wants, by a lock; never by time."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.engine import Database
from tests.support.waiting import eventually

_KEY = 60016
_HOLD = text(f"SELECT pg_advisory_xact_lock({_KEY})")
_WAIT = text(f"SELECT pg_advisory_xact_lock_shared({_KEY})")
_WAITING = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND NOT granted")


@contextlib.asynccontextmanager
async def held_reads(
    owner: Database, monkeypatch: pytest.MonkeyPatch, module: Any, *functions: str
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Holds each read by these functions of a repository in the database until the block ends.

    Yields a function that waits until so many are held.
    """
    for name in functions:
        monkeypatch.setattr(module, name, _waiting(getattr(module, name)))

    async def so_many(count: int) -> None:
        async def are_held() -> bool:
            async with owner.read() as connection:
                return bool((await connection.execute(_WAITING, {"key": _KEY})).scalar_one() == count)

        await eventually(are_held)

    async with owner.transaction() as connection:
        await connection.execute(_HOLD)
        yield so_many


def _waiting(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def waits_first(connection: AsyncConnection, *args: Any, **named: Any) -> Any:
        await connection.execute(_WAIT)
        return await read(connection, *args, **named)

    return waits_first
