"""Fetches from Hive the title, text and time of posts, which the primary lacks. Cycles never wait for it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.hive import HiveClient, HiveError
from libs.common.tasks.background import Background
from services.sync_worker.locks import TITLES_LOCK, lock
from services.sync_worker.tables.documents import LONGEST_TITLE
from services.sync_worker.tables.table import Key
from services.sync_worker.tables.values import moment
from services.sync_worker.titles import repository

_log = structlog.get_logger(__name__)
AT_ONCE = 8  # questions to Hive
ASK_AGAIN = 3600.0  # seconds after a node said that it does not know a post
LONGEST_DESCRIPTION = 500  # characters


@dataclass(frozen=True, slots=True)
class Texts:
    """The parts of a Hive post that are kept. `description` is plain text: the author's, or the post's beginning."""

    title: str
    description: str
    created: datetime | None


class Titles:
    """A component that fills in the texts of the newest posts after each cycle; at most `per_cycle` of them."""

    def __init__(
        self, database: Database, hive: HiveClient, per_cycle: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._hive = hive
        self._per_cycle = per_cycle
        self._clock = clock
        self._unknown: dict[Key, float] = {}  # posts that Hive does not know → when to ask again
        self._due = asyncio.Event()
        self._background = Background()

    async def start(self) -> None:
        self._background.begin(self._run())

    async def stop(self) -> None:
        await self._background.end()

    def fill_soon(self) -> None:
        """Wakes the component: a cycle has ended."""
        self._due.set()

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            await self.fill_or_later()

    async def fill_or_later(self) -> None:
        """Calls `fill`; logs a failure, and the next cycle tries again."""
        try:
            await self.fill()
        except PresenceError as error:
            _log.warning("titles wait", error=str(error))
        except Exception:
            _log.exception("titles failed")

    async def fill(self, most: int | None = None) -> int:
        """Fetches the texts that `most` posts lack, newest first; returns how many it got. Raises `unavailable`."""
        async with lock(self._database, TITLES_LOCK, wait=False) as ours:
            return await self._fill(min(self._per_cycle, most or self._per_cycle)) if ours else 0

    async def _fill(self, most: int) -> int:
        present = self._clock()
        self._unknown = {key: again for key, again in self._unknown.items() if again > present}
        async with self._database.read() as connection:
            keys = await repository.posts_without_title(connection, most, list(self._unknown))
        filled = 0
        for start in range(0, len(keys), AT_ONCE):
            filled += await self._fill_some(keys[start : start + AT_ONCE])
        if keys:
            _log.info("titles fetched", filled=filled, unknown=len(keys) - filled)
        return filled

    async def _fill_some(self, keys: Sequence[Key]) -> int:
        """Asks for all of `keys` and keeps the answers, also when Hive goes away half-way."""
        answers = await asyncio.gather(*(self._ask(key) for key in keys), return_exceptions=True)
        texts = {key: answer for key, answer in zip(keys, answers, strict=True) if isinstance(answer, Texts)}
        for key, text in texts.items():
            # One row a transaction: of several, in another order than a cycle's, each would wait for the other.
            async with self._database.transaction() as connection:
                await repository.save_title(connection, key, text.title, text.description, text.created)
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if answer is None:
                self._unknown[key] = self._clock() + ASK_AGAIN
        return len(texts)

    async def _ask(self, key: Key) -> Texts | None:
        """The texts of a post; None if Hive does not know it."""
        try:
            answer = await self._hive.call("bridge.get_post", {"author": key[0], "permlink": key[1]})
        except HiveError:
            return None
        return read_post(answer, fallback=key[1])


def read_post(post: Any, fallback: str) -> Texts | None:
    """The texts in an answer of `bridge.get_post` (Hive's docs; times are UTC without saying so)."""
    if not isinstance(post, dict):
        return None
    title = _clean(post.get("title"))[:LONGEST_TITLE] or fallback
    description = _clean(_metadata(post.get("json_metadata")).get("description")) or _clean(post.get("body"))
    created = moment(post.get("created"))
    return Texts(title, description[:LONGEST_DESCRIPTION], created.astimezone(UTC) if created else None)


def _metadata(value: Any) -> dict[str, Any]:
    """Returns `json_metadata` as an object. Anybody writes it: an object, its text, or nonsense, which is empty."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.MsgspecError:
            return {}
    return value if isinstance(value, dict) else {}


def _clean(value: Any) -> str:
    """A text that PostgreSQL takes: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str):
        return ""
    return value.replace("\x00", "").encode("utf-8", "replace").decode().strip()
