"""`python -m services.sync_worker`: keeps the replica equal to the primary. With `--once`: one cycle, then exit."""

import asyncio
import sys

from libs.common import log
from libs.common.service import run
from libs.common.settings import SettingsError, read
from services.sync_worker.app import build, run_once
from services.sync_worker.settings import Settings


def once() -> int:
    """The exit status: 0 if every table is up to date now."""
    try:
        settings = read(Settings)
    except SettingsError as error:
        raise SystemExit(f"sync_worker: {error}") from error
    log.configure("sync_worker", settings.log_level)
    return 0 if asyncio.run(run_once(settings)) else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["--once"]:
        sys.exit(once())
    run("sync_worker", Settings, build)
