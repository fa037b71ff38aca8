"""Hears from the primary, where its owner has run deploy/primary/notify.sql, that a table changed.

It only makes cycles start sooner: nothing is lost while nobody hears, since the clock goes on.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog

from libs.common.tasks.background import Background
from services.sync_worker.primary.connection import (
    ANSWER_SECONDS,
    APPLICATION,
    AWAY,
    CLOSE_SECONDS,
    CONNECT_SECONDS,
    reason_of,
)

_log = structlog.get_logger(__name__)
CHANNEL = "presence_changed"  # its notices name a table each
PROBE_SECONDS = 30.0  # between two looks whether the connection still lives
RETRY_SECONDS = 5.0


class Notices:
    """A component that calls `on_change` with the name of each table of `tables` that the primary says has changed.

    It calls for all of them whenever it begins to listen, since it has missed what was said before.
    """

    def __init__(self, dsn: str, tables: frozenset[str], on_change: Callable[[frozenset[str]], None]) -> None:
        self._dsn = dsn
        self._tables = tables
        self._on_change = on_change
        self._background = Background()

    async def start(self) -> None:
        self._background.begin(self._run())

    async def stop(self) -> None:
        await self._background.end()

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except AWAY as error:
                _log.warning("the primary's notices are not heard", error=reason_of(error, CONNECT_SECONDS))
            except Exception:
                _log.exception("the primary's notices are not heard")
            # Spread, so that several workers do not come back in step.
            await asyncio.sleep(RETRY_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311

    async def _listen(self) -> None:
        """Listens until the connection is lost. Raises one of `AWAY`."""
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=ANSWER_SECONDS,
            server_settings={"application_name": f"{APPLICATION} notices"},
            statement_cache_size=0,
        )
        try:
            await connection.add_listener(CHANNEL, self._hear)
            _log.info("the primary's notices are heard")
            self._on_change(self._tables)
            while True:
                await asyncio.sleep(PROBE_SECONDS)
                await connection.execute("SELECT 1")
        finally:
            with contextlib.suppress(*AWAY):
                await connection.close(timeout=CLOSE_SECONDS)

    def _hear(self, _: Any, __: int, ___: str, table: Any) -> None:
        if table in self._tables:
            self._on_change(frozenset({table}))
