"""Profiles our server's core: `python -m bench.profile [SCENARIO...]`, with py-spy or perf on PATH.

Runs our server alone under a scenario's load, and prints where its time goes. Nothing is judged or written.
"""

import asyncio
import collections
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.generator import Generator, Target
from bench.lab import FULL, brief
from bench.machine import OTHERS, pin
from bench.system import running_system

SECONDS, ROWS = 6, 22
LOADS: dict[str, tuple[str, dict[str, Any]]] = {
    "fanout": ("fanout", {"clients": 1000, "window": 1}),
    "load": ("fanout", {"clients": 1000, "senders": 10, "window": 20}),
    "pose": ("pose", {"clients": 400, "hertz": 10, "sample": 20}),
    "pose-batch": ("pose", {"clients": 1000, "hertz": 10, "sample": 20, "features": '"pose-compact"'}),
    "joins": ("joins", {"clients": 1050, "others": 50, "senders": 50, "rate": 20}),
    "chat": ("chat", {"clients": 1000, "senders": 100, "rate": 166}),
}


async def profile(name: str) -> None:
    """Start the system, put it under load, look at it with every tool there is."""
    mode, options = LOADS[name]
    with tempfile.TemporaryDirectory(prefix="presence-profile-") as folder:
        generator = Generator(Path(folder))
        generator.compile()
        generator.cores = OTHERS
        async with running_system() as system:
            await system.log_in(FULL.people(options["clients"]))
            system.share_cores(alone=mode in ("fanout", "pose"))
            target = await system.target(people=options["clients"])
            timing = {"warmup": 1, "seconds": 3 * SECONDS}
            run = asyncio.create_task(generator.run(target, mode, **timing, **options))
            if mode != "joins":  # there, joining is what is looked at
                await asyncio.wait([run, asyncio.create_task(generator.joined.wait())], return_when="FIRST_COMPLETED")
                await asyncio.sleep(1)
            print(f"# {name}\n")
            before, began = system.cpu_by_component(), asyncio.get_running_loop().time()
            await _py_spy(target, Path(folder) / "stacks")
            await _perf(target, Path(folder) / "perf")
            seconds = asyncio.get_running_loop().time() - began
            used = {part: (cpu - before.get(part, 0)) / seconds for part, cpu in system.cpu_by_component().items()}
            print("cores:", ", ".join(f"{part} {cores:.2f}" for part, cores in used.items() if cores > 0.005), "\n")
            print(brief(await run))


async def _py_spy(target: Target, file: Path) -> None:
    if not shutil.which("py-spy"):
        return
    command = ("py-spy", "record", "--pid", str(target.pids[0]), "--duration", str(SECONDS), "--rate", "300")
    await _tool(*command, "--format", "raw", "--nonblocking", "--output", str(file))
    text = await asyncio.to_thread(file.read_text)
    stacks = [line.rsplit(" ", 1) for line in text.splitlines()]
    own, total = collections.Counter[str](), collections.Counter[str]()
    for stack, count in stacks:
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    samples = sum(own.values()) or 1
    for title, counter in (("itself", own), ("with what it calls", total)):
        print(f"py-spy, {title}:\n" + "\n".join(_rows(counter, samples)) + "\n")


def _rows(counter: collections.Counter[str], samples: int) -> Sequence[str]:
    return [f"  {count / samples:6.1%}  {name}" for name, count in counter.most_common(ROWS)]


async def _perf(target: Target, file: Path) -> None:
    if not shutil.which("perf"):
        return
    record = ("perf", "record", "-e", "cpu-clock", "-F", "999", "-p", str(target.pids[0]), "-o", str(file))
    await _tool(*record, "--", "sleep", str(SECONDS))
    out = await _tool("perf", "report", "-i", str(file), "--stdio", "--no-children", "--percent-limit", "1")
    lines = [line for line in out.splitlines() if line.strip() and not line.startswith("#")]
    print("perf, native code and the kernel:\n" + "\n".join(lines[:ROWS]) + "\n")


async def _tool(*command: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    pin(process.pid, OTHERS)
    out, _ = await process.communicate()
    return out.decode(errors="replace")


async def main(names: Sequence[str]) -> None:
    for name in names or list(LOADS):
        await profile(name)


if __name__ == "__main__":
    machine.raise_file_limit()
    asyncio.run(main(sys.argv[1:]))
