"""`python -m services.sync_worker`: keeps the replica equal to the primary. With a command: see `--help`."""

import sys

from libs.common.service import run
from services.sync_worker.app import build
from services.sync_worker.commands.registry import execute
from services.sync_worker.settings import Settings

if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(execute(["run"] if sys.argv[1:] == ["--once"] else sys.argv[1:]))
    run("sync_worker", Settings, build)
