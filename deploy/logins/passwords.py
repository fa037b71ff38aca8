"""The services' passwords: one a service, which it shows to every server that it uses."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

BACKUP = "backup"  # no service: the process that makes backups, which reads every table and writes none
WITH_BROKER = ("gateway", "realtime", "spaces_auth", "chat", "sync_worker", "webhook_dispatcher")
WITH_LOGIN = (*WITH_BROKER, BACKUP)
WITH_TABLES = ("spaces_auth", "chat", "sync_worker", "webhook_dispatcher")
WITH_DATABASE = (*WITH_TABLES, BACKUP)
WITH_REDIS = ("gateway", "realtime", "spaces_auth", "chat", "sync_worker", BACKUP)
PLAIN = re.compile(r"[A-Za-z0-9_-]+")  # safe in a URL, in an ACL file and in SQL


class PasswordError(Exception):
    """A password is missing, or has characters that a URL would need escaped; the text names the variables."""


def variable(service: str) -> str:
    """The variable that holds a service's password: `CHAT_PASSWORD`."""
    return f"{service.upper()}_PASSWORD"


def from_environment(environment: Mapping[str, str], services: tuple[str, ...] = WITH_LOGIN) -> dict[str, str]:
    """Returns the passwords by service. Raises PasswordError, naming every variable at fault."""
    passwords = {service: environment.get(variable(service), "") for service in services}
    bad = [variable(service) for service, password in passwords.items() if not PLAIN.fullmatch(password)]
    if bad:
        raise PasswordError(f"{', '.join(bad)}: fill in letters and digits (openssl rand -hex 24).")
    return passwords


def with_login(url: str, user: str, password: str) -> str:
    """Returns the URL of a server with another login."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
