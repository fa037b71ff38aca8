"""`restore`: a backup in place of the live database."""

from argparse import ArgumentParser, Namespace

import asyncpg
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.bars import bars
from libs.common.cache import RedisClient
from libs.common.settings import read
from services.sync_worker.backups.app import restoring
from services.sync_worker.backups.manifest import BackupError
from services.sync_worker.backups.settings import BackupSettings
from services.sync_worker.command import DONE, FAILED, Command, errors, output, steps
from services.sync_worker.settings import Settings


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a backup: its path, or its name in PRESENCE_BACKUPS")


async def _run(_: Settings, arguments: Namespace) -> int:
    settings = read(BackupSettings)
    folder, restore = restoring(settings)
    try:
        with bars() as progress:
            async with folder.lock():
                restored = await restore.restore(arguments.file, steps(progress))
    except (BackupError, OSError, asyncpg.PostgresError) as error:
        errors().print(f"Nothing was restored. {error}")
        return FAILED
    manifest = restored.manifest
    output().print(
        f"Restored {manifest.file} of {manifest.made_at:%Y-%m-%d %H:%M} UTC: {sum(manifest.rows.values()):,} rows in "
        f"{len(manifest.rows)} tables, as its manifest says.\n"
        f"The database before it is kept as {restored.kept}; drop it when it is of no more use."
    )
    await _raise_epochs(settings.redis_url)
    return DONE


async def _raise_epochs(redis_url: str) -> None:
    """Has every admission asked about again now. Where that cannot be, sync_worker does it with its next cycle."""
    redis = RedisClient(redis_url)
    try:
        spaces = await cache.raise_every_epoch(redis.redis)
        output().print(f"Who may be in a space is asked about again, in {spaces} spaces.")
    except (RedisError, OSError) as error:
        output().print(f"sync_worker raises the access epochs with its next cycle; Redis did not let us: {error}")
    finally:
        await redis.stop()


RESTORE = Command(
    "restore",
    "Restores a backup into a new database, proves it, and gives it the name of the live one, which is kept.",
    _run,
    _add_arguments,
)
