"""The client library of `clients/js`, built once a run, and its tests in Node."""

import asyncio
import os
import sys
from functools import cache
from pathlib import Path
from subprocess import run

from deploy.local.guardian import REPOSITORY

LIBRARY = REPOSITORY / "clients" / "js"
LONGEST_SECONDS = 120.0


@cache
def built() -> Path:
    """Returns the folder of the library's entries, of the sources as they are now."""
    run(["node", "scripts/build.mjs"], cwd=LIBRARY, check=True)
    return LIBRARY / "dist"


async def run_tests(*files: str, **environment: str) -> tuple[int | None, str]:
    """Runs files of node:test, by their paths in `clients/js/test`; returns the exit code, and what they wrote."""
    process = await asyncio.create_subprocess_exec(
        "node", "--test", *(f"test/{file}" for file in files),
        cwd=LIBRARY,
        env={**os.environ, "PRESENCE_PYTHON": sys.executable, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    return process.returncode, output.decode()
