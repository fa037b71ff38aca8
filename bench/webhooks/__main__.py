"""The parts: see the package."""

import asyncio
import sys
import time

from bench import parts
from bench.webhooks.backlog import backlog
from bench.webhooks.dispatcher import Lab, at, head, lab, row, times
from bench.webhooks.log import log
from tests.support.servers import Servers

CAPACITY_EVENTS = 6000


async def beside(servers: Servers, seconds: int = 60) -> None:
    """Healthy endpoints alone, then beside hanging and failing ones of three accounts."""
    print(f"\n## 300 healthy endpoints, 20 events/s for them, {seconds} s; the others get 20/s of their own\n")
    head("beside them", "arrived", "p50 ms", "p90 ms", "p99 ms", "longest ms", "CPU ms a delivery")
    async with lab(servers) as made:
        well = await made.subscribe("well", 300)
        await _row_beside(made, "nobody", well, [], seconds)
        others = [*await made.subscribe("hang", 60), *await made.subscribe("fail", 60)]
        await _row_beside(made, "60 hanging, 60 failing", well, others, seconds)


async def _row_beside(made: Lab, name: str, well: list[str], others: list[str], seconds: int) -> None:
    made.forget()
    began = made.cpu
    publishing = [made.publish(well, 20, seconds)]
    if others:
        publishing.append(made.publish(others, 20, seconds))
    await asyncio.gather(*publishing)
    wanted = 20 * seconds
    await made.all_arrived(wanted, 60)
    cost = (made.cpu - began) * 1000 / max(1, sum(made.sink.by_kind.values()))
    found = times(made)
    arrived = f"{len(found):,} of {wanted:,}"
    row(name, arrived, *(at(found, part) for part in (0.5, 0.9, 0.99, 1)), f"{cost:.1f}")


async def many(servers: Servers, seconds: int = 60) -> None:
    print(f"\n## 1,000 endpoints, 100 events/s for {seconds} s, 3 of them dripping and 100 failing\n")
    head("arrived", "p50 ms", "p90 ms", "p99 ms", "longest ms", "CPU ms a delivery", "core used")
    async with lab(servers) as made:
        spaces = await made.subscribe("well", 897)
        spaces += await made.subscribe("drip", 3)
        spaces += await made.subscribe("fail", 100)
        began, started = made.cpu, time.monotonic()
        await made.publish(spaces, 100, seconds)
        taken, used = time.monotonic() - started, made.cpu - began
        wanted = sum(1 for n in range(100 * seconds) if n % 1000 < 897)
        await made.all_arrived(wanted, 60)
        found, attempts = times(made), sum(made.sink.by_kind.values())
        arrived = f"{len(found):,} of {wanted:,}"
        shares = [at(found, part) for part in (0.5, 0.9, 0.99, 1)]
        row(arrived, *shares, f"{used * 1000 / attempts:.1f}", f"{used / taken:.0%}")


async def over(servers: Servers, seconds: int = 30) -> None:
    """What one dispatcher can do, and then three times as much."""
    print("\n## Three times its capacity\n")
    head("", "events", "arrived", "twice", "deliveries/s", "drained after s", "CPU ms a delivery")
    async with lab(servers) as made:
        spaces = await made.subscribe("well", 1000)
        rate = await _flood(made, "as many as it can", spaces, CAPACITY_EVENTS, 100_000)
        made.forget()
        await _flood(made, f"three times that for {seconds} s", spaces, int(3 * rate * seconds), 3 * rate)


async def _flood(made: Lab, name: str, spaces: list[str], count: int, rate: float) -> float:
    """Publishes in tens, as a busy hall's events come; returns the deliveries a second."""
    began, cpu, count = time.monotonic(), made.cpu, count // 10 * 10
    for n in range(0, count, 10):
        await asyncio.sleep(began + n / rate - time.monotonic())
        await made.bus.publish(*(made.event(spaces[(n + k) % len(spaces)]) for k in range(10)))
    offered = time.monotonic() - began
    await made.all_arrived(count, 300)
    taken = time.monotonic() - began
    await asyncio.sleep(25)  # longer than a lease: what is sent twice has come twice by then
    cost = (made.cpu - cpu) * 1000 / max(1, len(made.sink.arrived))
    twice = sum(len(moments) > 1 for moments in made.sink.arrived.values())
    arrived = len(made.sink.arrived)
    row(name, f"{count:,}", f"{arrived:,}", twice, f"{arrived / taken:.0f}", f"{taken - offered:.0f}", f"{cost:.1f}")
    return arrived / taken


PARTS: dict[str, parts.Part] = {"beside": beside, "many": many, "over": over, "log": log, "backlog": backlog}


if __name__ == "__main__":
    asyncio.run(parts.run("Webhooks", PARTS, *sys.argv[1:]))
