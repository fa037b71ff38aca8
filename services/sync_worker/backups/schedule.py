"""Makes backups and drills when they are due, and says how they are: in Redis, to Prometheus, and in the log."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import asyncpg
import msgspec
import structlog
from redis.asyncio import Redis

from libs.common import cache
from libs.common.contracts.content import BackupStatus
from libs.common.errors import PresenceError
from libs.common.metrics import BACKUP_AGE, BACKUP_BYTES, BACKUP_FAILURES
from libs.common.tasks.background import Background
from services.sync_worker.backups import hook
from services.sync_worker.backups.drill import Drill
from services.sync_worker.backups.dumping import Dumping
from services.sync_worker.backups.folder import Folder, Progress, silent
from services.sync_worker.backups.manifest import BackupError, Manifest
from services.sync_worker.backups.settings import BackupSettings

_log = structlog.get_logger(__name__)
FIRST_SECONDS = 60.0  # after a start, which has enough to do
LOOK_SECONDS = 15.0  # between two looks whether something is due
RETRY_SECONDS = 300.0  # after a backup or an upload that failed
DRILL_RETRY_SECONDS = 3600.0  # after a drill that failed
FAILURES = (BackupError, OSError, asyncpg.PostgresError, TimeoutError)


class Backups:
    """A component; `make`, `upload` and `drill` are also what the commands do."""

    def __init__(
        self,
        settings: BackupSettings,
        folder: Folder,
        dumping: Dumping,
        drill: Drill,
        redis: Redis,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._dumping = dumping
        self._drill = drill
        self._redis = redis
        self._clock = clock
        self._errors: dict[str, str] = {}  # step → what went wrong the last time
        self._failed_at: dict[str, float] = {}  # step → when, on the monotonic clock
        self._to_upload: Manifest | None = None
        self._background = Background()

    async def start(self) -> None:
        BACKUP_AGE.labels("backup").set_function(lambda: self._age(self._made_at()))
        BACKUP_AGE.labels("drill").set_function(lambda: self._age(self._drill.last().good_at))
        BACKUP_BYTES.labels("newest").set_function(lambda: newest.bytes if (newest := self._folder.newest()) else 0)
        await self._tell()
        self._background.begin(self._look_forever())

    async def stop(self) -> None:
        await self._background.end()

    @property
    def ready(self) -> bool:
        return self._background.runs

    async def _look_forever(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Does what is due, and tells how things are. A step that fails keeps back no other."""
        if self._is_due("backup", self._age(self._made_at()), self._settings.interval):
            await self._attempt("backup", self._make_and_remember)
        if self._to_upload and self._is_due("upload"):
            await self._attempt("upload", self._upload_waiting)
        if self._is_drill_due():
            await self._attempt("drill", self.drill)
        await self._tell()

    async def make(self, progress: Progress = silent) -> Manifest:
        """Makes a backup, and removes old ones. Raises BackupError, and then there are those that there were."""
        async with self._folder.lock():
            manifest = await self._dumping.make(progress)
            _log.info("backup made", file=manifest.file, bytes=manifest.bytes, rows=sum(manifest.rows.values()))
            for old in self._folder.retire(self._settings.kept, self._settings.months, self._clock()):
                _log.info("old backup removed", file=old)
        return manifest

    async def upload(self, manifest: Manifest) -> None:
        """Has the operator's command take a backup elsewhere, if there is one. Raises BackupError."""
        if self._settings.hook:
            await hook.call(self._settings.hook, self._folder.path / manifest.file)

    async def drill(self, progress: Progress = silent) -> Manifest:
        """Tries the newest backup. Raises BackupError with what is wrong with it."""
        async with self._folder.lock():
            manifest = await self._drill.run(progress)
        _log.info("backup tried: it can be restored", file=manifest.file)
        return manifest

    def status(self) -> BackupStatus:
        """Returns how backups are now."""
        newest, drilled = self._folder.newest(), self._drill.last()
        error = next(filter(None, (*self._errors.values(), drilled.error)), None)
        return BackupStatus(
            made_at=newest.made_at if newest else None,
            bytes=newest.bytes if newest else None,
            drilled_at=drilled.good_at,
            interval=self._settings.interval,
            drill_interval=self._settings.drill_interval,
            error=error,
        )

    async def _make_and_remember(self) -> None:
        self._to_upload = await self.make()

    async def _upload_waiting(self) -> None:
        if self._to_upload:
            await self.upload(self._to_upload)
            self._to_upload = None

    async def _attempt(self, step: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except FAILURES as error:
            BACKUP_FAILURES.labels(step).inc()
            self._errors[step] = f"{step}: {str(error) or type(error).__name__}"
            self._failed_at[step] = time.monotonic()
            _log.error("failed", step=step, error=self._errors[step])
        else:
            self._errors.pop(step, None)
            self._failed_at.pop(step, None)

    def _is_due(self, step: str, age: float = math.inf, interval: float = 0.0) -> bool:
        """Returns whether something of that age is to be made anew; one that failed is tried again after a while."""
        failed_at = self._failed_at.get(step)
        if failed_at is not None:
            return time.monotonic() - failed_at >= RETRY_SECONDS
        return not age < interval

    def _is_drill_due(self) -> bool:
        last = self._drill.last()
        if last.error is not None:
            return self._age(last.tried_at) >= DRILL_RETRY_SECONDS
        return self._folder.newest() is not None and not self._age(last.good_at) < self._settings.drill_interval

    def _made_at(self) -> datetime | None:
        newest = self._folder.newest()
        return newest.made_at if newest else None

    def _age(self, moment: datetime | None) -> float:
        return float("nan") if moment is None else (self._clock() - moment).total_seconds()

    async def _tell(self) -> None:
        try:
            with cache.redis_unavailable():
                await self._redis.set(cache.BACKUP_STATUS, msgspec.json.encode(self.status()))
        except PresenceError as error:
            _log.warning("how backups are was not told", error=str(error))
