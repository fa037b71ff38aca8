"""The commands behind `make up` and its kin. Whatever a person must do is said in one sentence, without a traceback.

Imports little: `up` on a running stack answers at once.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.errors import SetupError, tail
from deploy.local.guardian import REPOSITORY, signal_group
from deploy.local.packages import PSQL, find, missing_text
from deploy.local.processes import end_leftovers, read_pid_file
from deploy.local.servers.lan import Lan, invitation, lan_of
from deploy.local.state import FAILED, STARTING, UP, State, StateFile
from deploy.local.workplace import Workplace
from deploy.logins.passwords import BACKUP, with_login
from deploy.logins.redis import ADMIN

POLL_SECONDS = 0.1
START_SECONDS = 900.0  # the first time packages are installed
STOP_SECONDS = 90.0
PRUNING = {  # by the service that deletes
    "chat": "services.chat.retention.retention",
    "spaces_auth": "services.spaces_auth.retention.retention",
    "webhook_dispatcher": "services.webhook_dispatcher.retention",
}


def public_port() -> int:
    """PRESENCE_PORT, default 8080. Raises SetupError."""
    given = os.environ.get("PRESENCE_PORT") or "8080"
    if not (given.isdigit() and 0 < int(given) < 65536):
        raise SetupError(f"PRESENCE_PORT is {given!r}: it must be a port number, 1 to 65535")
    return int(given)


def root() -> Path:
    """The stack's folder: PRESENCE_LOCAL_DIR, default .local. With another one a second stack runs beside the first."""
    return REPOSITORY / (os.environ.get("PRESENCE_LOCAL_DIR") or ".local")


def up(place: Workplace) -> int:
    """Start the stack and wait until it is ready, saying what happens."""
    state = StateFile(place)
    lan = lan_of(os.environ)
    if supervisor_pid(place) is not None and state.read().phase == UP:
        print(already(state.read(), lan))
        return 0
    port = public_port()
    daemon = None
    if supervisor_pid(place) is None:
        state.file.unlink(missing_ok=True)
        print(f"Starting Presence; logs are in {place.log}")
        daemon = spawn_supervisor(place)
    try:
        follow(place, daemon)
    except KeyboardInterrupt:
        print("\nStopping again ...")
        return down(place)
    print(summary(place, state.read().url or f"http://localhost:{port}"))
    if lan:
        print(invitation(lan.url))
    return 0


def already(state: State, lan: Lan | None) -> str:
    """Returns what there is to say of a stack that runs. Raises SetupError where it should serve the network and does
    not, or at another address."""
    if lan and state.lan_url != lan.url:
        raise SetupError(f"Presence is up already, but not at {lan.url}: stop it first, with make down")
    text = f"Presence is up already: {state.url}  (stop it with: make down)"
    return f"{text}\n{invitation(state.lan_url)}" if state.lan_url else text


def spawn_supervisor(place: Workplace) -> "subprocess.Popen[bytes]":
    """Start the daemon in a session of its own."""
    with place.log_file("supervisor").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "supervise"],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def follow(place: Workplace, daemon: "subprocess.Popen[bytes] | None") -> None:
    """Print each component as it becomes ready. Raises SetupError where the stack does not come up."""
    began = time.time()
    shown: set[tuple[str, str]] = set()
    while time.time() < began + START_SECONDS:
        ended = daemon is None or daemon.poll() is not None
        state = StateFile(place).read()
        tell_news(state, shown, began)
        if state.phase == UP:
            return
        if state.phase == FAILED:
            raise SetupError(state.error)
        if ended and not wait_for(lambda: supervisor_pid(place) is not None, 1.0):  # another `up` may have been first
            log = place.log_file("supervisor")
            raise SetupError(f"The supervisor ended. The end of its log, {log}:\n{tail(log, 15)}")
        time.sleep(POLL_SECONDS)
    raise SetupError(f"The stack was not ready after {START_SECONDS:.0f} seconds: see {place.log}")


def tell_news(state: State, shown: set[tuple[str, str]], began: float) -> None:
    """Print what is new: components that are ready, and remarks."""
    for name, (word, when) in state.components.items():
        if (name, word) not in shown and word not in (STARTING, "stopping", "stopped"):
            print(f"  {max(0.0, when - began):5.1f} s  {name:<18} {word}", flush=True)
        shown.add((name, word))


def summary(place: Workplace, url: str) -> str:
    """Returns the text after a start: addresses, accounts, how to stop."""
    return f"""
Presence is up.

  open            {url}
  API             {url}/docs
  test accounts   alice bob carol dave, password presence-demo
                  (sign a login challenge: .venv/bin/python -m deploy.local.sign alice)
  operator token  presence-operator
  logs            {place.log}  (make logs)
  stop            make down
"""


def down(place: Workplace) -> int:
    """Stop everything, also what a killed supervisor left behind."""
    pid = supervisor_pid(place)
    if pid is not None:
        print("Stopping Presence ...", flush=True)
        signal_process(pid, signal.SIGTERM)
        wait_for(lambda: supervisor_pid(place) is None, STOP_SECONDS)
        if supervisor_pid(place) is not None:
            signal_group(pid, signal.SIGKILL)
    left = end_leftovers(place)
    StateFile(place).file.unlink(missing_ok=True)
    if left:
        print(f"Ended what was left: {', '.join(left)}")
    print("Presence is down." if pid is not None or left else "Presence is not running.")
    return 0


def status(place: Workplace) -> int:
    """Print one line a component."""
    if supervisor_pid(place) is None:
        print("Presence is not running (start it with: make up).")
        return 0
    state = StateFile(place).read()
    print(f"Presence is {state.phase}: {state.url}")
    for name, (word, when) in state.components.items():
        pid = read_pid_file(place.run / f"{name}.pid")
        again = state.restarts.get(name, 0)
        print(
            f"  {name:<18} {word:<10} {_ago(when):>6}  {f'pid {pid}' if pid else '':<11}"
            f"{f' restarted {again} times' if again else ''}".rstrip()
        )
    return 0


def logs(place: Workplace, name: str | None, follow_on: bool) -> int:
    """Show the end of one log or of all; with -f go on until Ctrl-C."""
    files = [place.log_file(name)] if name else sorted(place.log.glob("*.log"))
    missing = [file for file in files if not file.exists()]
    if missing or not files:
        known = ", ".join(sorted(file.stem for file in place.log.glob("*.log"))) or "none yet"
        raise SetupError(f"There is no log {name or ''} in {place.log}; there are: {known}")
    lines = "-n100" if name else "-n20"
    tail_program = shutil.which("tail") or "tail"
    os.execv(tail_program, ["tail", lines, *(["-F"] if follow_on else []), *map(str, files)])  # noqa: S606


def psql(place: Workplace, arguments: list[str]) -> int:
    """Open the replica's database as its owner."""
    program = find(PSQL)
    if program is None:
        raise SetupError(missing_text([PSQL]))
    os.execv(program, ["psql", running_state(place).database_url, *arguments])  # noqa: S606


def migrate(place: Workplace) -> int:
    """Bring the running stack's schema to the newest revision; `up` does so by itself."""
    environment = {**os.environ, "PRESENCE_DATABASE_URL": running_state(place).database_url}
    command = [sys.executable, "-m", "alembic", "-c", "alembic/alembic.ini", "upgrade", "head"]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode


def replay(place: Workplace, name: str, arguments: list[str]) -> int:
    """Give a running service events again, in its own environment; see `libs/common/db/replay.py`."""
    return _as_service(place, name, "libs.common.db.replay", *arguments)


def prune(place: Workplace) -> int:
    """Delete what is over now, service by service, each in its own environment."""
    return max(_as_service(place, name, module) for name, module in PRUNING.items())


def _as_service(place: Workplace, name: str, module: str, *arguments: str) -> int:
    """Runs a module with the environment that the running component has. Raises SetupError where none runs."""
    running_state(place)
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment_of(place, name), check=False).returncode


def environment_of(place: Workplace, name: str) -> dict[str, str]:
    """Returns the environment of a running component. Raises SetupError."""
    pid = read_pid_file(place.run / f"{name}.pid")
    if pid is None:
        raise SetupError(f"There is no running component {name}: see make ps")
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(os.fsdecode(variable).split("=", 1) for variable in variables if b"=" in variable)


def backup(place: Workplace, command: str) -> int:
    """Make a backup (`backup`), or prove that the newest one can be restored (`drill`)."""
    running_state(place)
    return _sync_worker(environment_of(place, "backup"), command)


def restore(place: Workplace, file: str) -> int:
    """Put a backup in place of the live database; then nobody's picture is older than it, nor the replica.

    Those who are inside come back to the replicas of realtime, which are restarted one after the other, and are told
    that they have a gap.
    """
    owner = running_state(place).database_url
    environment = environment_of(place, "backup")
    redis = environment["PRESENCE_REDIS_URL"]
    if urlsplit(redis).username == BACKUP:
        redis = with_login(redis, ADMIN, place.secret("redis_password"))
    environment |= {"PRESENCE_DATABASE_URL": owner, "PRESENCE_REDIS_URL": redis}
    status = _sync_worker(environment, "restore", file)
    if status == 0:
        for name in ("r1", "r2"):
            restart(place, name)
        if _sync_worker(environment_of(place, "sync_worker"), "run") != 0:
            print("The replica is not current yet; sync_worker tries again by itself.")
    return status


def _sync_worker(environment: Mapping[str, str], *arguments: str) -> int:
    command = [sys.executable, "-m", "services.sync_worker", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode


def running_state(place: Workplace) -> State:
    """The state of a stack that runs. Raises SetupError where none does."""
    if supervisor_pid(place) is None:
        raise SetupError("Presence is not running: start it with make up")
    return StateFile(place).read()


def restart(place: Workplace, name: str) -> int:
    """Stop and start one component."""
    known = running_state(place).components
    if name not in known:
        raise SetupError(f"There is no component {name}; there are: {', '.join(known)}")
    asked = time.time()
    (place.run / "restart").mkdir(exist_ok=True)
    (place.run / "restart" / name).touch()
    signal_process(supervisor_pid(place), signal.SIGHUP)
    if not wait_for(lambda: _is_ready_since(StateFile(place).read(), name, asked), 150):
        raise SetupError(f"{name} was not ready after 150 seconds: see {place.log_file(name)}")
    print(f"{name} is ready again.")
    return 0


def supervisor_pid(place: Workplace) -> int | None:
    """The living supervisor of this folder."""
    return read_pid_file(place.run / "supervisor.pid")


def signal_process(pid: int | None, number: signal.Signals) -> None:
    """Signal a process that may be gone already."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Polls until the condition is true; returns False after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _is_ready_since(state: State, name: str, moment: float) -> bool:
    word, when = state.components[name]
    return word == "ready" and when >= moment


def _ago(when: float) -> str:
    seconds = int(time.time() - when)
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


def parser() -> argparse.ArgumentParser:
    """The words of the command line. Each command has a parser of its own, so that no option swallows a name."""
    whole = argparse.ArgumentParser(prog="python -m deploy.local", description="The local stack, without Docker.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in ("up", "down", "status", "migrate", "prune", "supervise", "backup", "drill"):
        commands.add_parser(name)
    commands.add_parser("psql", add_help=False)  # every word after it is psql's, -h too
    of_logs = commands.add_parser("logs")
    of_logs.add_argument("-f", "--follow", action="store_true", help="go on showing what is added")
    of_logs.add_argument("name", nargs="?", help="one component; all without it")
    of_replay = commands.add_parser("replay")
    of_replay.add_argument("name", help="the service that events are given to")
    of_replay.add_argument("what", nargs="+", help="dead, or log SPACE FIRST LAST")
    commands.add_parser("restore").add_argument("file", nargs="?", help="a backup: its path, or its name in backups/")
    commands.add_parser("restart").add_argument("name", nargs="?", help="the component")
    return whole


def run(arguments: list[str]) -> int:
    """Carry out one command. Raises SetupError; exits with a usage message on a word that the command does not take."""
    command_line = parser()
    given, rest = command_line.parse_known_args(arguments)
    if rest and given.command != "psql":
        command_line.error(f"{given.command} takes no {' '.join(rest)}")
    place = Workplace(root())
    match given.command:
        case "up":
            return up(place)
        case "down":
            return down(place)
        case "status":
            return status(place)
        case "logs":
            return logs(place, given.name, given.follow)
        case "psql":
            return psql(place, rest)
        case "migrate":
            return migrate(place)
        case "prune":
            return prune(place)
        case "replay":
            return replay(place, given.name, given.what)
        case "backup" | "drill":
            return backup(place, given.command)
        case "restore":
            if not given.file:
                raise SetupError("Say which backup: make restore FILE=...")
            return restore(place, given.file)
        case "restart" if given.name:
            return restart(place, given.name)
        case "supervise":
            from deploy.local.supervisor import main as supervise

            return supervise(place, public_port(), lan_of(os.environ))
        case _:
            raise SetupError("Say which component: python -m deploy.local restart NAME")


def main(arguments: list[str]) -> int:
    """The command line: errors that a person can mend are printed as they are."""
    try:
        return run(arguments)
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
