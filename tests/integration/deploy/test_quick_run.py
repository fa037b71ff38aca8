"""`make test-quick` holds itself to what it promises: no server, no child process."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.guardian import REPOSITORY

TESTS = """
import subprocess
import pytest

def test_that_needs_nothing():
    pass

def test_that_asks_for_a_database(database_url):
    pass

def test_that_starts_a_process():
    subprocess.run(["true"])

@pytest.mark.servers
def test_that_is_marked(redis_url):
    pass
"""


@pytest.fixture
def output(tmp_path: Path) -> str:
    """The output of a quick run of `TESTS`."""
    file = tmp_path / "test_sample.py"
    file.write_text(TESTS)
    plugins = ("-p", "tests.support.quick", "-p", "tests.support.servers", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", *plugins, "--quick", str(file)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout


def test_a_quick_run_fails_what_wants_a_server_or_a_process_and_leaves_out_what_is_marked(output: str) -> None:
    assert "1 failed, 1 passed, 1 deselected, 1 error" in output
    for wanted in ("servers", "child processes (subprocess.Popen)"):
        assert f"the quick run has no {wanted}: move it to tests/integration, or mark it `servers`" in output
