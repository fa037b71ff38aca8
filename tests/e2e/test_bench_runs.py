"""`make bench` in small: it runs against the real system, and its numbers are plausible. It judges no speed."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.scenarios import BRIEF
from deploy.local.guardian import REPOSITORY
from tests.support.servers import Servers

PATIENCE_SECONDS = 150.0


async def run(servers: Servers, results: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Scenario → server → the medians of its figures."""
    command = (sys.executable, "-m", "bench", "--quick", "--results", str(results))
    pipe, out = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, env=await servers.environment(), stdout=pipe, stderr=out
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert "failed" not in said.decode(), said.decode()
    return {name: decoded(results / f"{name}.json")["medians"] for name in BRIEF}


def decoded(file: Path) -> Any:
    return msgspec.json.decode(file.read_bytes())


async def test_the_quick_bench_runs_and_its_numbers_are_plausible(servers: Servers, tmp_path: Path) -> None:
    found = await run(servers, tmp_path)
    for server in ("presence", "node", "stock"):
        fanout = found["fanout"][server]
        assert fanout["delivered_per_s"] > 100
        assert 0.9 < fanout["delivered_ratio"] < 1.1
        assert 0 < fanout["p50_ms"] <= fanout["p99_ms"] <= fanout["max_ms"]
    batch = found["pose-batch"]["presence"]
    assert batch["delivered_ratio"] > 0.5
    assert 0 < batch["p50_ms"] < 5000
    chat = found["chat"]["presence"]
    assert chat["messages"] > 10
    assert chat["delivered_per_s"] > 0
    assert (chat["lost_deliveries"], chat["doubled_deliveries"], chat["disordered_deliveries"]) == (0, 0, 0)
    joins = found["joins"]["presence"]
    assert joins["joined"] == 40
    assert joins["join_p50_ms"] <= joins["join_max_ms"]
    assert "| figure | ours | peer | ratio | goal | met |" in (tmp_path / "README.md").read_text()
