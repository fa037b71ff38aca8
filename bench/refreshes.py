"""Is anybody logged out who did not steal?  `python -m bench.refreshes [--refreshes 10000]`

50 logins in three tabs each refresh at once while spaces_auth is killed again and again and a tenth of the answers is
lost; then each is stolen from once. Prints what came of it, and ends with 1 for anybody lost or a theft unnoticed.
"""

import argparse
import asyncio
import os
import tempfile
import time
from math import ceil
from pathlib import Path

from bench import machine
from deploy.local.ports import free_port
from deploy.local.stack import Stack
from tests.support.tabs import TABS, Outcome, refreshed_under_kills

LOGINS = 50


async def measure(refreshes: int) -> Outcome:
    environment = {**os.environ, "PRESENCE_RATE_LIMIT_FACTOR": "0"}
    stack = Stack(Path(tempfile.mkdtemp(prefix="presence-refreshes-")), public_port=free_port(), environ=environment)
    try:
        await stack.start()
        return await refreshed_under_kills(stack, LOGINS, ceil(refreshes / LOGINS / TABS))
    finally:
        await stack.stop()
        stack.place.remove()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.refreshes", description="Refresh logins while spaces_auth is killed.")
    parser.add_argument("--refreshes", type=int, default=10_000)
    chosen = parser.parse_args()
    machine.raise_file_limit()
    began = time.monotonic()
    outcome = asyncio.run(measure(chosen.refreshes))
    print(f"{outcome} in {time.monotonic() - began:.0f} s")
    raise SystemExit(1 if outcome.lost or outcome.unnoticed else 0)


if __name__ == "__main__":
    main()
