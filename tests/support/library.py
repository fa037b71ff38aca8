"""The client library of `clients/js`, built once a run, and its tests in Node."""

import asyncio
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from subprocess import run

from deploy.local.guardian import REPOSITORY
from tests.support.browser import File, script, text

LIBRARY = REPOSITORY / "clients" / "js"
LONGEST_SECONDS = 120.0
PAGE = "/library.html"
ENTRIES = {  # as a bundler, or an import map, finds them
    "@dlux/presence": "/library/index.js",
    "@dlux/presence/voice": "/library/voice.js",
    "@dlux/presence/vue": "/library/vue.js",
    "socket.io-client": "/library/socket.io.js",
    "vue": "/library/vue.global.js",
}
MODULES = LIBRARY / "node_modules"


@cache
def built() -> Path:
    """Returns the folder of the library's entries, of the sources as they are now."""
    run(["node", "scripts/build.mjs"], cwd=LIBRARY, check=True)
    return LIBRARY / "dist"


def readme(language: str) -> list[str]:
    """Returns the README's blocks of lines in a language, as the fence names it."""
    text = (LIBRARY / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def page(module: str, head: str = "", body: str = "") -> dict[str, File]:
    """Returns the files of a page, at `PAGE`, that runs a module with the library's entries under their names."""
    imports = f'<script type="importmap">{json.dumps({"imports": ENTRIES})}</script>'
    html = f'<!doctype html><meta charset="utf-8">{imports}{head}<body>{body}<script type="module">{module}</script>'
    return {
        PAGE: text("text/html", html),
        ENTRIES["socket.io-client"]: script(MODULES / "socket.io-client" / "dist" / "socket.io.esm.min.js"),
        ENTRIES["vue"]: script(MODULES / "vue" / "dist" / "vue.esm-browser.prod.js"),
        **{f"/library/{file.name}": script(file) for file in built().glob("*.js")},
    }


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
