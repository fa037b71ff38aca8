"""The operator's command that uploads a backup. Whatever it does, the backup here stays as it is."""

import asyncio
import os
import shlex
from contextlib import suppress
from pathlib import Path

from services.sync_worker.backups.manifest import BackupError, manifest_path

HOOK_SECONDS = 3600.0  # that it may take
LAST_CHARACTERS = 300  # of what it says when it fails


async def call(command: str, backup: Path) -> None:
    """Runs the command with the paths of a backup and of its manifest. Raises BackupError where that fails."""
    words = [*shlex.split(command), *map(os.path.abspath, (backup, manifest_path(backup)))]
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        raise BackupError(f"PRESENCE_BACKUP_HOOK cannot be run: {error}") from error
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise BackupError(f"PRESENCE_BACKUP_HOOK did not end within {HOOK_SECONDS:.0f} s.") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
    if process.returncode != 0:
        said = output.decode(errors="replace").strip()[-LAST_CHARACTERS:]
        raise BackupError(f"PRESENCE_BACKUP_HOOK ended with {process.returncode}: {said or 'it said nothing'}")
