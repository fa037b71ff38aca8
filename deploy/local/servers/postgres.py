"""A private PostgreSQL cluster on a loopback port, without a Unix socket.

PostgreSQL and its tools refuse root, so as root everything here runs as the user `postgres`.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import asyncpg

from deploy.local.errors import SetupError, StartError
from deploy.local.guardian import Guardian, signal_group, started
from deploy.local.packages import POSTGRES, Program, ensure, find
from deploy.local.processes import Launch, identity
from deploy.local.servers.base import Process, plain_environment
from deploy.local.workplace import Workplace, hand_over, system_user

SUPERUSER = "postgres"
COMPLETE = "presence-initdb-complete"  # written last: a cluster without it is a half-finished initdb
# A developer's laptop and the tests share two cores: small buffers, few background workers.
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "240",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "max_wal_size": "256MB",
    "jit": "off",
    "timezone": "UTC",
}
UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum_naptime": "10min"}


class Postgres(Process):
    """PostgreSQL. `durable=False` (tests) keeps commits through kill -9 of processes, not through a power cut."""

    programs: tuple[Program, ...] = (POSTGRES,)
    stop_signal = signal.SIGINT  # "fast": sessions are ended, the cluster is left clean

    def __init__(self, place: Workplace, guardian: Guardian, port: int, *, durable: bool = True) -> None:
        super().__init__("postgres", place, guardian)
        self.port = port
        self._options = OPTIONS if durable else OPTIONS | UNSAFE
        self._user = system_user("postgres")

    @property
    def cluster(self) -> Path:
        return self.folder / "cluster"

    @property
    def url(self) -> str:
        """The superuser's URL of the maintenance database."""
        return self.url_of(SUPERUSER, self.place.secret("postgres_password"), "postgres")

    def url_of(self, user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the cluster, or repair what a crash left of it. Raises SetupError where only a person can decide."""
        ensure(self.programs)
        if self._is_half_made():
            shutil.rmtree(self.cluster)  # its initdb was interrupted: there never was a database in it
        if self.cluster.exists():
            self._check_version()
            end_orphan(self.cluster)
        else:
            self._initdb()

    def launch(self) -> Launch:
        command = [str(self._binary("postgres")), "-D", str(self.cluster), "-p", str(self.port)]
        for name, value in self._options.items():
            command += ["-c", f"{name}={value}"]
        return Launch(tuple(command), self.folder, plain_environment(), self._user)

    async def is_ready(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    def _is_half_made(self) -> bool:
        return self.cluster.exists() and not (self.folder / COMPLETE).exists()

    def _initdb(self) -> None:
        hand_over(self.folder, self._user)
        password_file = self.folder / "password"
        password_file.write_text(self.place.secret("postgres_password"))
        hand_over(self.folder, self._user)
        command = [
            str(self._binary("initdb")),
            *("-D", str(self.cluster), "-U", SUPERUSER, "--pwfile", str(password_file)),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
        ]
        user, group, others = identity(self._user)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=plain_environment(),
            user=user,
            group=group,
            extra_groups=others,
            capture_output=True,
            text=True,
        )
        password_file.unlink()
        if done.returncode != 0:
            self.child.log.write_text(done.stdout + done.stderr)
            raise StartError(self.name, f"initdb failed with exit code {done.returncode}", self.child.log)
        (self.folder / COMPLETE).touch()

    def _check_version(self) -> None:
        major = (self.cluster / "PG_VERSION").read_text().strip()
        if self._binary("postgres", major) is None:
            here = self._major(find(POSTGRES))
            raise SetupError(
                f"The database in {self.cluster} was made by PostgreSQL {major}, this machine has {here}: install "
                f"postgresql-{major}, or start afresh with: rm -rf {self.folder}"
            )

    def _binary(self, tool: str, major: str | None = None) -> Path | None:
        """A tool of the version that made the cluster, else of the newest; None where that version is missing."""
        version_file = self.cluster / "PG_VERSION"
        if major is None and version_file.exists():
            major = version_file.read_text().strip()
        newest = find(POSTGRES)
        if newest is None or major is None or self._major(newest) == major:
            return newest and newest.with_name(tool)
        same = Path(f"/usr/lib/postgresql/{major}/bin/{tool}")
        return same if same.exists() else None

    def _major(self, binary: Path | None) -> str:
        """`postgres (PostgreSQL) 15.18 (Debian ...)` → `15`."""
        if binary is None:
            return "none"
        version = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True, cwd="/").stdout
        return version.split("(PostgreSQL)")[1].split()[0].split(".")[0]


def end_orphan(cluster: Path) -> None:
    """Deal with a postmaster.pid: end a postmaster that outlived its supervisor, delete the file of a dead one.

    PostgreSQL itself refuses to start when the number in the file meanwhile belongs to any other living process.
    """
    file = cluster / "postmaster.pid"
    if not file.exists():
        return
    pid = int(file.read_text().split()[0])
    if started(pid) is not None and _runs_in(pid, cluster):
        signal_group(pid, signal.SIGQUIT)
        _wait_gone(pid)
    file.unlink(missing_ok=True)


def _runs_in(pid: int, cluster: Path) -> bool:
    """Returns whether the process is a postmaster of this cluster, which makes the data folder its working folder."""
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")) == cluster.resolve()
    except OSError:
        return False


def _wait_gone(pid: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while started(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
