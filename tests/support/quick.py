"""`--quick`: only what needs no server and no child process, so that it takes seconds.

A pytest plugin. Tests marked `servers` are left out. Any other test that asks for a server or starts a process fails
with a sentence that says so: the quick run stays quick by itself. `make test-quick` uses it.
"""

import sys

import pytest
from hypothesis import settings

ADVICE = "move it to tests/integration, or mark it `servers`"
EXAMPLES_SHARE = 5  # the quick run tries a fifth of the examples that a property test asks for
PROCESS_EVENTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec")


class NotQuick(AssertionError):
    """A test of the quick run wants what only the whole run has. The message names it and the way out."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"the quick run has no {wanted}: {ADVICE}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the option."""
    parser.addoption("--quick", action="store_true", help="run only what needs no server and no child process")


def pytest_configure(config: pytest.Config) -> None:
    """Forbids child processes for the life of this process (an audit hook stays), and tries fewer examples."""
    if config.getoption("quick"):
        sys.addaudithook(refuse_processes)
        settings.register_profile("quick", max_examples=examples(settings().max_examples, quick=True))
        settings.load_profile("quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests marked `servers`."""
    if not config.getoption("quick"):
        return
    left_out = [item for item in items if item.get_closest_marker("servers")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def examples(count: int, *, quick: bool | None = None) -> int:
    """How many examples a property test tries that asks for `count`: fewer in a quick run, two at least."""
    if quick is None:
        quick = settings.get_current_profile_name() == "quick"
    return max(2, count // EXAMPLES_SHARE) if quick else count


def refuse_processes(event: str, _arguments: object) -> None:
    """An audit hook. Raises NotQuick when this process is about to start another."""
    if event in PROCESS_EVENTS:
        raise NotQuick(f"child processes ({event})")
