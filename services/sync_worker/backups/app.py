"""Wiring of backups: of the process that makes them, and of the command that restores one."""

from pathlib import Path

from libs.common.cache import RedisClient
from libs.common.clock import now
from libs.common.service import Service
from services.sync_worker.backups.drill import Drill
from services.sync_worker.backups.dumping import Dumping
from services.sync_worker.backups.folder import Folder
from services.sync_worker.backups.restoring import Restoring
from services.sync_worker.backups.schedule import Backups
from services.sync_worker.backups.server import Server
from services.sync_worker.backups.settings import BackupSettings
from services.sync_worker.backups.tools import Tools

ROLE = "presence_backup"  # reads every table, makes databases of its own, and changes nothing of ours


def build(settings: BackupSettings) -> Service:
    """The process that makes and tries backups."""
    redis = RedisClient(settings.redis_url)
    return Service("backup", [redis, backups(settings, redis)])


def backups(settings: BackupSettings, redis: RedisClient) -> Backups:
    """Returns what makes and tries backups."""
    server, folder = Server(settings.database_url, ROLE), Folder(Path(settings.folder))
    tools = Tools(settings.tools)
    dumping = Dumping(server, folder, tools, settings.chat_archive, now)
    return Backups(settings, folder, dumping, Drill(server, folder, tools, now), redis.redis, now)


def restoring(settings: BackupSettings) -> tuple[Folder, Restoring]:
    """Returns the folder and what restores from it. The URL's login must own the database."""
    folder = Folder(Path(settings.folder))
    return folder, Restoring(Server(settings.database_url), folder, Tools(settings.tools), now)
