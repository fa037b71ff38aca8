"""`drill`: proves that the newest backup can be restored."""

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
    trying = backups(settings, RedisClient(settings.redis_url))
    try:
        with bars() as progress:
            manifest = await trying.drill(steps(progress))
    except (BackupError, OSError) as error:
        errors().print(str(error))
        return FAILED
    output().print(
        f"{manifest.file} can be restored: {sum(manifest.rows.values()):,} rows in {len(manifest.rows)} tables, "
        "as its manifest says."
    )
    return DONE


DRILL = Command("drill", "Restores the newest backup beside the live database, compares, and drops it.", _run)
