"""All processes together hold fewer connections than PostgreSQL takes, also when scaled as docs/deployment.md says."""

import re
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers.postgres import OPTIONS
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.db.engine import Database
from services.chat.app import build as build_chat
from services.chat.settings import Settings as ChatSettings
from services.spaces_auth.app import build as build_spaces_auth
from services.spaces_auth.settings import Settings as SpacesAuthSettings
from services.sync_worker.app import build as build_sync_worker
from services.sync_worker.settings import Settings as SyncSettings
from services.webhook_dispatcher.app import build as build_dispatcher
from services.webhook_dispatcher.settings import Settings as DispatcherSettings
from tests.support.settings import defaults

REPOSITORY = Path(__file__).resolve().parents[3]
OTHERS = 20  # migrations, a backup, psql, and what PostgreSQL keeps for its superuser
COPIES = 3  # of each process that can be scaled
PROCESSES: dict[str, tuple[Any, Any, int]] = {
    "spaces_auth": (build_spaces_auth, SpacesAuthSettings, COPIES),
    "chat": (build_chat, ChatSettings, COPIES),
    "webhook_dispatcher": (build_dispatcher, DispatcherSettings, COPIES),
    "sync_worker": (build_sync_worker, SyncSettings, 1),
}


def connections(name: str) -> int:
    build, settings, _ = PROCESSES[name]
    service = build(defaults(settings), MemoryBus(MemoryBroker()))
    return sum(part.size for part in service._components if isinstance(part, Database))


def most() -> dict[str, int]:
    compose = (REPOSITORY / "deploy" / "compose" / "compose.yml").read_text()
    found = re.search(r"max_connections=(\d+)", compose)
    assert found
    return {"compose": int(found[1]), "local": int(OPTIONS["max_connections"])}


async def test_all_processes_together_hold_fewer_connections_than_postgresql_takes() -> None:
    needed = sum(connections(name) * copies for name, (_, _, copies) in PROCESSES.items())
    assert needed + OTHERS <= min(most().values())


@pytest.mark.parametrize("name", PROCESSES)
async def test_the_table_of_the_documents_holds_what_each_process_takes(name: str) -> None:
    (row,) = re.findall(
        rf"^\| `{name}` \|.*\| (\d+) \|$", (REPOSITORY / "docs/deployment.md").read_text(), re.MULTILINE
    )
    assert int(row) == connections(name)
