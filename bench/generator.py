"""The load generator, compiled at the first use: one run of it gives one dictionary of figures."""

import asyncio
import contextlib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.machine import Cores, pin
from deploy.local.packages import Program, ensure

COMPILER = Program("gcc", "build-essential")
SOURCES = Path(__file__).with_name("loadgen")
PATIENCE_SECONDS = 300.0  # for joining, beyond what the run itself takes

type Run = dict[str, float]


class LoadError(Exception):
    """The generator gave up; the text says why."""


@dataclass(frozen=True)
class Target:
    """A server under load. `pids` are the processes whose CPU and memory count as the server's."""

    name: str
    ports: tuple[int, ...]
    pids: tuple[int, ...]
    options: tuple[str, ...] = field(default=())  # of the generator, for this server only


class Generator:
    """`cores` is where it runs; a scenario may change it. `joined` is set when a run's clients have all joined."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "loadgen"
        self.cores: Cores | None = None
        self.joined = asyncio.Event()

    def compile(self) -> None:
        """Raises LoadError with the compiler's words, SetupError where there is no compiler."""
        ensure([COMPILER])
        command = ["gcc", "-O2", "-march=native", "-Wall", "-Wextra", "-std=gnu17", "-o", str(self._program)]
        sources = [str(source) for source in sorted(SOURCES.glob("*.c"))]
        done = subprocess.run([*command, *sources, "-lm"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise LoadError(done.stderr)

    async def run(self, target: Target, mode: str, **options: Any) -> Run:
        """One run. Options are the generator's own, `connect_seconds=5` for `--connect-seconds 5`."""
        words = [*_words({"mode": mode, "label": target.name, **options}), *target.options]
        words += ["--ports", ",".join(map(str, target.ports)), "--pids", ",".join(map(str, target.pids))]
        async with asyncio.timeout(PATIENCE_SECONDS + 2 * float(options.get("seconds", 0))):
            return await self._run(words)

    async def _run(self, words: list[str]) -> Run:
        pipe = asyncio.subprocess.PIPE
        self.joined.clear()
        process = await asyncio.create_subprocess_exec(str(self._program), *words, stdout=pipe, stderr=pipe)
        assert process.stdout
        assert process.stderr
        try:
            if self.cores:
                pin(process.pid, self.cores)
            out, errors = await asyncio.gather(process.stdout.read(), self._listen(process.stderr))
            await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if process.returncode:
            raise LoadError("\n".join([" ".join(words), *errors[-5:]]))
        return _figures(out)

    async def _listen(self, stream: asyncio.StreamReader) -> list[str]:
        """Returns its complaints, line by line."""
        lines = []
        async for line in stream:
            if line == b"joined\n":
                self.joined.set()
            else:
                lines.append(line.decode(errors="replace").rstrip())
        return lines


def _words(options: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        if value is not False:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def _figures(line: bytes) -> Run:
    found = msgspec.json.decode(line, type=dict[str, Any])
    return {name: float(value) for name, value in found.items() if not isinstance(value, str)}
