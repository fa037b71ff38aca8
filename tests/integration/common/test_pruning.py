"""What is over goes by a command too, in the environment of the service that it belongs to."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.guardian import REPOSITORY
from libs.common.db.engine import Database
from libs.common.db.pruning import delete_all
from tests.integration.common.world import owner_of

OVER = {
    "services.spaces_auth.retention.retention": (
        "space_removals",
        "INSERT INTO space_removals VALUES ('global', 'lobby', 1, 'guest', 'g', NULL, 1, 'kicked', 'why', :moment)",
    ),
    "services.chat.retention.retention": (
        "chat_commands",
        "INSERT INTO chat_commands VALUES ('account:a', 'post', 'x', 'c', gen_random_uuid(), :moment)",
    ),
    "services.webhook_dispatcher.retention": (
        "inbox",
        "INSERT INTO inbox VALUES ('webhook_dispatcher', gen_random_uuid(), :moment)",
    ),
}


@pytest.mark.parametrize("module", OVER)
async def test_a_command_prunes_now_and_says_what_went(database_url: str, tmp_path: Path, module: str) -> None:
    table, insert = OVER[module]
    environment = {
        **os.environ,
        "PRESENCE_DATABASE_URL": database_url,
        "PRESENCE_SECRET_KEY": "A" * 43 + "=",
        "PRESENCE_CHAT_ARCHIVE": str(tmp_path),
    }
    async with owner_of(database_url) as owner:
        await owner.sql(insert.replace(":moment", "now() - interval '100 days'"))
        command = [sys.executable, "-m", module]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert table in done.stdout
        assert "pruned" in done.stdout
        assert await owner.sql(f"SELECT 1 FROM {table}") == []


async def test_batches_are_deleted_until_one_is_not_full(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.common.db.pruning.BATCH", 2)
    asked, left = [], [2, 2, 1]

    async def delete(_: object, limit: int) -> int:
        asked.append(limit)
        return left.pop(0)

    database = Database(database_url, "chat", 1)
    assert await delete_all(database, "test", delete) == 5
    assert asked == [2, 2, 2]
    await database.stop()
