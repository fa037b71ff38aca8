"""Our processes end with everything they started, and no process that is not ours is ever ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.guardian import REPOSITORY, Guardian, started
from deploy.local.processes import Child, Launch, end_leftovers, read_pid_file, write_pid_file
from deploy.local.workplace import Workplace

# Starts a grandchild, tells its pid, and does not listen to SIGTERM; nor does the grandchild.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 1:
    print(subprocess.Popen([sys.executable, __file__, "grandchild"]).pid, flush=True)
time.sleep(100)
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    place = Workplace(tmp_path / "stack")
    yield place
    place.remove()


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    guardian = Guardian()
    yield guardian
    guardian.close()


@pytest.fixture
def stubborn(tmp_path: Path) -> Launch:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    return Launch((sys.executable, str(script)), tmp_path, dict(os.environ))


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def grandchild_of(child: Child) -> int:
    until(lambda: child.log.read_text().strip())
    return int(child.log.read_text())


async def test_a_child_that_ignores_sigterm_is_killed_with_what_it_started(
    place: Workplace, guardian: Guardian, stubborn: Launch
) -> None:
    child = Child("stubborn", place, guardian)
    child.start(stubborn)
    grandchild = grandchild_of(child)
    await child.stop(grace_seconds=0.2)
    assert not child.alive
    assert child.exit_code == -signal.SIGKILL
    until(lambda: started(grandchild) is None)
    assert not list(place.run.glob("*.pid"))


def test_leftovers_of_a_killed_supervisor_are_ended(place: Workplace) -> None:
    left = subprocess.Popen(["sleep", "100"], start_new_session=True)
    write_pid_file(place.run / "left.pid", left.pid)
    assert end_leftovers(place) == ["left"]
    assert left.wait(10) == -signal.SIGTERM
    assert not list(place.run.glob("*.pid"))


def test_a_pid_that_was_used_again_is_never_ended(place: Workplace) -> None:
    stranger = subprocess.Popen(["sleep", "100"], start_new_session=True)
    file = place.run / "redis.pid"
    file.write_text(f"{stranger.pid} 12345\n")  # the same number, another start
    assert read_pid_file(file) is None
    assert end_leftovers(place) == []
    assert not file.exists()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


@pytest.mark.parametrize("damage", ["", "x", "1", "1 2 3", "-5 -"])
def test_a_damaged_pid_file_is_stale(place: Workplace, damage: str) -> None:
    (place.run / "redis.pid").write_text(damage)
    assert end_leftovers(place) == []


def test_the_children_of_a_process_that_is_killed_do_not_outlive_it(place: Workplace) -> None:
    script = f"""
import os, sys, time
from pathlib import Path
from deploy.local.guardian import Guardian
from deploy.local.processes import Child, Launch
from deploy.local.workplace import Workplace
child = Child("child", Workplace(Path({str(place.root)!r})), Guardian())
child.start(Launch(("sleep", "100"), Path("/"), dict(os.environ)))
print(child.pid, flush=True)
time.sleep(100)
"""
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    assert started(child) is not None
    owner.kill()
    until(lambda: started(child) is None)
    owner.wait()
    owner.stdout.close()
