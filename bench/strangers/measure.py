"""`python -m strangers.measure OUT NAME...`: attacks the stack of the tree that Python imports from."""

import asyncio
import dataclasses
import json
import sys
import traceback
from pathlib import Path

from .attacks import ATTACKS
from .stage import stage


async def measure(out: Path, names: list[str]) -> None:
    """Writes what each attack cost as soon as it is known. Each has a stack of its own: none pays for another."""
    prices: dict[str, object] = {}
    for name in names:
        async with stage() as running:
            try:
                price = await ATTACKS[name][1](running)
                prices[name] = dataclasses.asdict(price)
                print(name, {**prices[name], "bystander": len(price.bystander)}, flush=True)  # type: ignore[dict-item]
            except Exception:  # the system under attack gave up; that is a result
                traceback.print_exc()
        await asyncio.to_thread(out.write_text, json.dumps(prices))


if __name__ == "__main__":
    asyncio.run(measure(Path(sys.argv[1]), sys.argv[2:]))
