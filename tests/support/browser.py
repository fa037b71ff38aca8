"""Pages in a real Chromium, driven from a test; Debian's is installed where there is none.

page = await browser.open("one", stack.url, "/room.html", {"/room.html": text("text/html", "...")})
await page.evaluate("document.title")
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.packages import Program, ensure, find
from tests.support.node import Node

SCRIPT = Path(__file__).with_name("browser.mjs")
CHROMIUM = Program("chromium", "chromium")

type File = dict[str, str]


def text(content_type: str, body: str) -> File:
    """A file of a page, as it is."""
    return {"type": content_type, "body": body}


def script(file: Path) -> File:
    """A JavaScript file from the disk."""
    return {"type": "text/javascript", "file": str(file)}


class Page:
    """One page, in a context of its own. Its JavaScript is given as the text of an expression."""

    def __init__(self, node: Node, name: str) -> None:
        self._node, self._name = node, name

    async def evaluate(self, code: str) -> Any:
        return await self._node.ask("evaluate", name=self._name, code=code)

    async def reload(self) -> None:
        """Loads it again, in the same tab."""
        await self._node.ask("reload", name=self._name)

    async def hold_key(self, key: str, until: str) -> None:
        """Press a key and let go of it as soon as `until` holds."""
        await self._node.ask("hold", name=self._name, key=key, until=until)

    async def log(self) -> list[str]:
        """The lines of its console, and its errors."""
        lines: list[str] = await self._node.ask("log", name=self._name)
        return lines


class Browser:
    def __init__(self, node: Node) -> None:
        self._node = node

    async def open(
        self,
        name: str,
        url: str,
        path: str,
        files: dict[str, File],
        look: dict[str, Any] | None = None,
        beside: str | None = None,
    ) -> Page:
        """A page at `path` under `url`, of the same origin as it; `files` are what is served there, by path.

        `look` are options of Playwright's context: `viewport`, `colorScheme`. `beside` names a page of which it is
        another tab: they share what the browser keeps.
        """
        await self._node.ask("open", name=name, url=url, path=path, files=files, look=look or {}, beside=beside)
        return Page(self._node, name)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A Chromium of the test's own."""
    await asyncio.to_thread(ensure, [CHROMIUM])
    process = Node(SCRIPT, str(find(CHROMIUM)))
    await process.start()
    yield Browser(process)
    await process.stop()
