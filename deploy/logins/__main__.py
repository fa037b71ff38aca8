"""`python -m deploy.logins files FOLDER` before the servers start; `... postgres` after the migrations.

`files` writes `redis/users.acl` and `rabbitmq/definitions.json`, with passwords as hashes only.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from deploy.logins import rabbitmq, redis
from deploy.logins.passwords import WITH_DATABASE, PasswordError, from_environment
from deploy.logins.postgres import set_logins


def write_files(folder: Path) -> None:
    """Write what Redis and RabbitMQ read when they start."""
    passwords = from_environment(os.environ)
    users = redis.users(passwords, os.environ["REDIS_PASSWORD"])
    (folder / "redis" / "users.acl").write_text("\n".join(users) + "\n")
    (folder / "rabbitmq" / "definitions.json").write_text(json.dumps(rabbitmq.definitions(passwords), indent=1))


def main() -> None:
    """One word says what to do."""
    try:
        match sys.argv[1:]:
            case ["files", folder]:
                write_files(Path(folder))
            case ["postgres"]:
                passwords = from_environment(os.environ, WITH_DATABASE)
                asyncio.run(set_logins(os.environ["PRESENCE_DATABASE_URL"], passwords))
            case _:
                raise SystemExit("Say `files FOLDER` or `postgres`.")
    except PasswordError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
