"""The folder one stack lives in, `.local/` for `make up`, a temporary one for tests.

    log/        one log a component          run/       pid files, state.json
    data/       the servers' data, secrets   ports.json the ports picked once

PostgreSQL and RabbitMQ refuse root or drop it, so their data must be reachable by their own users. A clone under /root
(mode 0700) is not: then `data` is a link to a folder under /var/tmp, named by this folder's path.
"""

import base64
import hashlib
import json
import os
import pwd
import secrets
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from deploy.local.errors import SetupError

FAR_AWAY = Path("/var/tmp")  # noqa: S108 - survives a reboot, and is reachable by every user


class Workplace:
    """The folders of one stack, and the values made once for it. `root` is made if it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._secrets_lock = threading.Lock()  # servers prepare in threads, each with its own secret
        self.log = self.root / "log"
        self.run = self.root / "run"
        for folder in (self.log, self.run):
            folder.mkdir(parents=True, exist_ok=True)
        self.data = self._data_folder().resolve()  # the link's own path may be closed to other users

    @property
    def tag(self) -> str:
        """Eight hex digits that tell this stack from others on the machine (RabbitMQ's node name)."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    def log_file(self, name: str) -> Path:
        return self.log / f"{name}.log"

    def secret(self, name: str, make: Callable[[], str] | None = None) -> str:
        """A value made at its first use and kept beside the data that depend on it (passwords, keys)."""
        path = self.data / "secrets.json"
        with self._secrets_lock:
            known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
            if name not in known:
                known[name] = (make or make_password)()
                replace_text(path, json.dumps(known, indent=1))
            return known[name]

    def remove(self) -> None:
        """Delete everything. For tests; nothing may run in it any more."""
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def _data_folder(self) -> Path:
        data = self.root / "data"
        if not data.exists():
            data.unlink(missing_ok=True)  # a link to a folder that somebody deleted
            if os.geteuid() == 0 and not reachable_by_all(self.root):
                far = FAR_AWAY / f"presence-{os.geteuid()}-{self.tag}"
                make_own_folder(far)
                data.symlink_to(far)
            else:
                data.mkdir()
                data.chmod(0o755)
        return data


def make_password() -> str:
    """24 random bytes as text that is safe in a URL."""
    return secrets.token_urlsafe(24)


def make_key() -> str:
    """32 random bytes in base64, as PRESENCE_SECRET_KEY wants them."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def reachable_by_all(folder: Path) -> bool:
    """Returns whether every user may pass through the folder and all its parents."""
    return all(place.stat().st_mode & stat.S_IXOTH for place in (folder, *folder.parents))


def make_own_folder(folder: Path) -> None:
    """Make a folder in a place where anybody may write; refuse one that somebody else put there."""
    folder.mkdir(mode=0o755, exist_ok=True)
    entry = folder.lstat()
    if not stat.S_ISDIR(entry.st_mode) or entry.st_uid != os.geteuid():
        raise SetupError(f"{folder} belongs to somebody else: remove it, or put this clone where all users may read it")


def replace_text(path: Path, text: str) -> None:
    """Write a private file so that a reader sees the old text or the new, never half of one."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)


def system_user(name: str) -> str | None:
    """The user a server runs as: its own where we are root and it exists, else ourselves (None)."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        return None


def hand_over(folder: Path, user: str | None) -> None:
    """Make a folder, private to `user`; everything in it becomes theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user, group=pwd.getpwnam(user).pw_gid)
