"""`python -m services.sync_worker.backups`: makes a backup every six hours, and tries the newest every day."""

from libs.common.service import run
from services.sync_worker.backups.app import build
from services.sync_worker.backups.settings import BackupSettings

if __name__ == "__main__":
    run("backup", BackupSettings, build)
