"""`make up` and `make down` as a newcomer runs them: the whole stack, its messages, and what is left of it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.guardian import REPOSITORY, started
from deploy.local.ports import free_port
from deploy.local.processes import read_pid_file
from deploy.local.workplace import Workplace
from tests.support.listening import IPV6_LOOPBACK, listening
from tests.support.servers import Servers


class CommandLine:
    """`python -m deploy.local` with a folder and a public port of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        own = {"PRESENCE_LOCAL_DIR": str(folder), "PRESENCE_PORT": str(self.port)}
        self._environment = {**os.environ, **own, **settings}

    def __call__(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "deploy.local", *words]
        environment = {**self._environment, **settings}
        return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)

    def supervisor(self) -> int:
        pid = read_pid_file(self.folder / "run" / "supervisor.pid")
        assert pid is not None
        return pid

    def processes(self) -> set[int]:
        """The supervisor and all its descendants."""
        found = {self.supervisor()}
        while more := {pid for pid, parent in parents().items() if parent in found} - found:
            found |= more
        return found


def parents() -> dict[int, int]:
    """Each living process's parent."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return found


def left_of(processes: set[int]) -> set[int]:
    """Returns the processes that still live after ten seconds at most."""
    deadline = time.monotonic() + 10
    while (left := {pid for pid in processes if started(pid) is not None}) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="presence-cli-"))
    yield folder
    Workplace(folder).remove()


@pytest.fixture
def command_line(folder: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(folder)
    yield command_line
    command_line("down")


@pytest.fixture
async def on_given_servers(folder: Path, servers: Servers) -> dict[str, str]:
    return {
        "PRESENCE_DATABASE_URL": await servers.new_database(),
        "PRESENCE_PRIMARY_URL": await servers.new_primary(),
        "PRESENCE_REDIS_URL": servers.new_redis_database(),
        "PRESENCE_AMQP_URL": servers.new_vhost(),
    }


def test_up_shows_what_it_does_says_where_to_look_and_down_leaves_no_process(command_line: CommandLine) -> None:
    up = command_line("up")
    assert up.returncode == 0, up.stdout + up.stderr
    for word in ("rabbitmq", "caddy", f"http://localhost:{command_line.port}", "presence-demo", "make down"):
        assert word in up.stdout

    processes = command_line.processes()
    at = {address for process in processes for address, _ in listening(process)}
    assert at <= {"127.0.0.1", IPV6_LOOPBACK}, "the network is served with LAN=1 only"
    again = command_line("up")
    assert again.stdout.startswith(f"Presence is up already: http://localhost:{command_line.port}")
    assert command_line.processes() == processes

    assert "sync_worker" in command_line("status").stdout
    assert command_line("restart", "gateway").stdout == "gateway is ready again.\n"
    assert "event_log" in command_line("psql", "-c", r"\dt").stdout
    assert command_line("migrate").returncode == 0
    pruned = command_line("prune")
    assert pruned.returncode == 0, pruned.stderr

    made = command_line("backup")
    assert (made.returncode, made.stderr) == (0, "")
    file = Path(made.stdout.partition(":")[0]).name
    assert f"{file} can be restored" in command_line("drill").stdout
    assert command_line("restore").stderr == "\nSay which backup: make restore FILE=...\n"
    restored = command_line("restore", file)
    assert (restored.returncode, restored.stderr) == (0, "")
    for words in (f"Restored {file}", "is kept as dlux_presence_before_", "r2 is ready again", "presence_permissions"):
        assert words in restored.stdout

    processes = command_line.processes()
    assert len(processes) >= 12
    assert command_line("down").returncode == 0
    assert left_of(processes) == set()
    assert command_line("down").stdout == "Presence is not running.\n"


def test_the_command_line_answers_without_importing_the_stack() -> None:
    """Its imports are most of what `make up` on a running stack takes: the drivers alone would be half a second."""
    script = (
        "import deploy.local.cli, sys; print({'deploy.local.stack', 'asyncpg', 'aiohttp', 'redis'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_down_ends_what_a_killed_supervisor_left(command_line: CommandLine, on_given_servers: dict[str, str]) -> None:
    up = command_line("up", **on_given_servers)
    assert up.returncode == 0, up.stdout + up.stderr
    processes = command_line.processes()
    guardian = next(pid for pid in processes if b"deploy.local.guardian" in Path(f"/proc/{pid}/cmdline").read_bytes())
    for pid in (guardian, command_line.supervisor()):
        os.kill(pid, signal.SIGKILL)
    assert "Presence is not running" in command_line("status").stdout
    assert "Ended what was left: backup, caddy, chat, coturn, gateway" in command_line("down").stdout
    assert left_of(processes) == set()


def test_a_taken_port_is_one_sentence_and_no_traceback(
    command_line: CommandLine, on_given_servers: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", command_line.port)):
        up = command_line("up", **on_given_servers)
    assert up.returncode == 1
    assert f"Port {command_line.port} is taken by " in up.stderr
    assert "PRESENCE_PORT=" in up.stderr
    assert "Traceback" not in up.stdout + up.stderr


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (("up",), {"PRESENCE_PORT": "many"}, "PRESENCE_PORT is 'many': it must be a port number"),
        (("psql",), {}, "Presence is not running: start it with make up"),
        (("restart", "chat"), {}, "Presence is not running"),
        (("restart",), {}, "Say which component"),
        (("logs", "chat"), {}, "There is no log chat"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why_in_a_sentence(
    command_line: CommandLine, words: tuple[str, ...], settings: dict[str, str], said: str
) -> None:
    done = command_line(*words, **settings)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
