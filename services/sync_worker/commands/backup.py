"""`backup`: a backup now, as the process that makes them does."""

from argparse import Namespace

from libs.common.bars import bars
from libs.common.cache import RedisClient
from libs.common.settings import read
from services.sync_worker.backups.app import backups
from services.sync_worker.backups.manifest import BackupError
from services.sync_worker.backups.settings import BackupSettings
from services.sync_worker.command import DONE, FAILED, Command, errors, output, steps
from services.sync_worker.settings import Settings


async def _run(_: Settings, __: Namespace) -> int:
    settings = read(BackupSettings)
    making = backups(settings, RedisClient(settings.redis_url))
    try:
        with bars() as progress:
            manifest = await making.make(steps(progress))
        output().print(
            f"{settings.folder}/{manifest.file}: {manifest.bytes:,} bytes, {sum(manifest.rows.values()):,} rows in "
            f"{len(manifest.rows)} tables, schema {manifest.revision}."
        )
        await making.upload(manifest)
    except (BackupError, OSError) as error:
        errors().print(str(error))
        return FAILED
    return DONE


BACKUP = Command("backup", "Makes a backup of the database now, and has it uploaded where that is configured.", _run)
