"""Has Yjs states read by a process beside the worker, which may spin, fill its memory or die of one."""

import asyncio
import sys
from typing import Self

import msgspec
import structlog

_log = structlog.get_logger(__name__)
MOST_BYTES = 16_000_000  # of a state as the primary has it: base64
MOST_SECONDS = 10.0  # of CPU for one state; one of three megabytes takes less than one
MOST_MEMORY = 512 * 2**20  # bytes of address space for the process that reads
MOST_FATAL = 5  # states of which a reader's processes may die before it tries no more
NOT_READ = "text of a document not read"
PATIENCE = 300.0  # seconds for an answer; a machine that is so slow is no fault of the state
_LONGEST_ANSWER = 8 * MOST_BYTES  # JSON may write a character as six


class NotTried(Exception):
    """Others of the page have used up what reading may cost: this one is to be read another time."""


class _Answer(msgspec.Struct):
    text: str | None = None
    error: str = ""


class YjsReader:
    """Reads states while its block lasts. Its `process` begins with the first of them."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self._fatal = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def text(self, state: str, whose: str) -> str | None:
        """Returns a state's text, or None if it cannot be read: the log says why, and that it was `whose`.

        Raises `NotTried` once too many states have cost more than they may, and `TimeoutError` where the machine is
        too slow to say.
        """
        if self._fatal >= MOST_FATAL:
            raise NotTried
        answer = await self._ask(state)
        if answer.text is None:
            _log.warning(NOT_READ, document=whose, reason=answer.error[:200])
        return answer.text

    async def _ask(self, state: str) -> _Answer:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._answer("".join(state.split()).encode())
        except (EOFError, ConnectionError):
            self._fatal += 1
            await self._end()
            return _Answer(error="it costs more time or memory than it may")

    async def _answer(self, state: bytes) -> _Answer:
        process = self.process = self.process or await _start()
        if not (process.stdin and process.stdout):
            raise EOFError
        process.stdin.write(state + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise EOFError
        return msgspec.json.decode(line, type=_Answer)

    async def _end(self) -> None:
        process, self.process = self.process, None
        if process and process.returncode is None:
            process.kill()
            await process.wait()


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.sync_worker.yjs", str(MOST_SECONDS), str(MOST_MEMORY)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LONGEST_ANSWER,
        env={},
    )
