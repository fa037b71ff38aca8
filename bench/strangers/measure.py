"""`python -m strangers.measure OUT NAME`: attacks a stack of the tree that Python imports from; says what it cost."""

import asyncio
import dataclasses
import json
import sys
from pathlib import Path

from .attacks import ATTACKS
from .stage import stage


async def measure(out: Path, name: str) -> None:
    async with stage() as running:
        price = await ATTACKS[name][1](running)
    await asyncio.to_thread(out.write_text, json.dumps(dataclasses.asdict(price)))


if __name__ == "__main__":
    asyncio.run(measure(Path(sys.argv[1]), sys.argv[2]))
