"""The client library of `clients/js` alone: its tests in Node, and its types, which follow from the contract."""

import asyncio
import sys
from pathlib import Path

import pytest

from deploy.local.guardian import REPOSITORY
from tests.support.library import LIBRARY, run_tests

TESTS = sorted(file.name for file in (LIBRARY / "test").glob("*.test.mjs"))


@pytest.mark.parametrize("name", TESTS)
async def test_the_library_passes_its_own_tests(name: str) -> None:
    code, output = await run_tests(name)
    assert code == 0, output


async def test_the_librarys_types_are_those_of_the_contract(tmp_path: Path) -> None:
    await _run(sys.executable, "-m", "services.gateway.static", str(tmp_path / "site"))
    await _run("node", "clients/js/scripts/types.mjs", str(tmp_path / "site"), str(tmp_path / "wire"))
    for name in ("rest.ts", "socket.ts"):
        made, kept = (tmp_path / "wire" / name).read_text(), (LIBRARY / "src" / "wire" / name).read_text()
        assert made == kept, f"{name} is stale: npm --prefix clients/js run types"


async def test_an_application_in_typescript_compiles_against_the_packages_entries() -> None:
    await _run("npm", "--prefix", "clients/js", "run", "--silent", "build")
    await _run("node", "clients/js/node_modules/typescript/bin/tsc", "--project", "clients/js/test/types")


async def test_the_bench_of_the_library_meets_its_goals() -> None:
    await _run(sys.executable, "-m", "bench.library")


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY)
    assert await process.wait() == 0
