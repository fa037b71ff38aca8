"""Runs a bench that has parts: one by its name, with numbers of its own, or all, each on servers of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from bench import machine
from libs.common import log
from tests.support.servers import Servers

type Part = Callable[..., Awaitable[None]]
"""Takes the servers, and the numbers that the caller gave; prints Markdown."""


async def run(title: str, parts: Mapping[str, Part], name: str = "", *numbers: str) -> None:
    """Prints a heading and what the part prints, or all of them. Raises `SystemExit` for a name or number that is
    none."""
    chosen, given = _chosen(parts, name), _given(numbers)
    log.configure("bench", "error")
    machine.raise_file_limit()
    print(f"# {title}\n\n{', '.join(machine.description().values())}; PostgreSQL without fsync")
    for part in chosen:
        servers = Servers()
        try:
            await part(servers, *given)
        finally:
            await asyncio.to_thread(servers.end)


def _chosen(parts: Mapping[str, Part], name: str) -> list[Part]:
    if not name:
        return [*parts.values()]
    if name not in parts:
        raise SystemExit(f"There is no part {name}: {', '.join(parts)}.")
    return [parts[name]]


def _given(numbers: tuple[str, ...]) -> list[int]:
    try:
        return [int(number) for number in numbers]
    except ValueError as error:
        raise SystemExit(f"Not a number: {error}.") from error
