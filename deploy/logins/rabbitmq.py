"""Users at RabbitMQ, and everything that the broker makes when it starts: a file of definitions, passwords hashed."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from deploy.logins.passwords import WITH_BROKER
from libs.common.bus import topology

VHOST = "presence"
ALGORITHM = "rabbit_password_hashing_sha256"
SALT_BYTES = 4  # as RabbitMQ wants it


def definitions(passwords: Mapping[str, str], vhost: str = VHOST) -> dict[str, Any]:
    """Returns a virtual host with all exchanges, queues and bindings, and each service's user and permissions."""
    return {
        "vhosts": [{"name": vhost}],
        "users": [user(service, passwords[service]) for service in WITH_BROKER],
        "permissions": [permission(service, vhost, topology.permissions(service)) for service in WITH_BROKER],
        **topology.definitions(vhost),
    }


def user(name: str, password: str, *tags: str) -> dict[str, Any]:
    """A user with a hashed password. Without the tag `administrator` it has no word about the broker itself."""
    return {"name": name, "password_hash": hashed(password), "hashing_algorithm": ALGORITHM, "tags": list(tags)}


def permission(name: str, vhost: str, allowed: Mapping[str, str]) -> dict[str, str]:
    """What a user may configure, write and read on a virtual host, by regular expressions."""
    return {"user": name, "vhost": vhost, **allowed}


def hashed(password: str, salt: bytes | None = None) -> str:
    """RabbitMQ's form of a hash: base64 of the salt and of SHA-256 over salt and password."""
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
