"""Changes of a space's settings."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import DEFAULT_SETTINGS, Action, Standing
from libs.common.bus.base import Caller
from libs.common.contracts import moderation
from libs.common.contracts.moderation import (
    AUDIO_MODES,
    MAX_SETTINGS_BYTES,
    MOST_METRES,
    FreeChannel,
    SpaceSettings,
    SpaceUpdated,
    UpdateSettings,
)
from libs.common.db.engine import Database
from libs.common.errors import INVALID_INPUT, PresenceError
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation import space_settings_repository as repository
from services.spaces_auth.moderation.audit_repository import Entry
from services.spaces_auth.moderation.audited_changes import AuditedChanges, Change


class SpaceSettingsHandlers:
    """For a space's owner, its moderators and operators."""

    def __init__(self, database: Database, changes: AuditedChanges, operators: tuple[str, ...]) -> None:
        self._database = database
        self._changes = changes
        self._operators = operators

    async def update_settings(self, caller: Caller, request: UpdateSettings) -> SpaceSettings:
        """Returns all settings as they are afterwards. Settings that stay as they are make no event."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        given = {name: value for name in DEFAULT_SETTINGS if (value := getattr(request, name)) is not None}
        _check(given)

        async def prepare(connection: AsyncConnection, _: Standing) -> Change | None:
            await repository.lock(connection, space)
            before = (await access.look(connection, caller.identity, space, self._operators)).settings
            after = _merged(before, given)
            if after == before:
                return None

            async def save(connection: AsyncConnection, _: str) -> None:
                await repository.save(connection, space, after, caller.identity.id)

            changed = {name: value for name, value in after.items() if before[name] != value}
            updated = SpaceUpdated(space.space_type, space.space_id, SpaceSettings(**after), caller.identity.id)
            entry = Entry("settings", reason=request.reason, details=changed)
            return Change(entry, moderation.settings_changed, updated, save)

        await self._changes.carry_out(caller, space, Action.CONFIGURE, "settings", request.client_message_id, prepare)
        async with self._database.read() as connection:
            standing = await self._changes.require(connection, caller, space, Action.CONFIGURE)
        return SpaceSettings(**standing.settings)


def _check(given: Mapping[str, Any]) -> None:
    """Raises `invalid_input` that names every malformed setting."""
    errors: dict[str, list[str]] = {}
    if "audio" in given and given["audio"].get("mode") not in AUDIO_MODES:
        errors["audio"] = [f"`mode` is one of {', '.join(AUDIO_MODES)}."]
    if "spawn" in given and not _is_position(given["spawn"]):
        errors["spawn"] = ["x, y and z in metres."]
    closed = given.get("settings", {}).get("closed_channels")
    if closed is not None and not (isinstance(closed, list) and set(map(str, closed)) <= set(FreeChannel)):
        errors["settings"] = [f"`closed_channels` is a list of {', '.join(FreeChannel)}."]
    for name in ("audio", "spawn", "settings"):
        if name in given and len(msgspec.json.encode(given[name])) > MAX_SETTINGS_BYTES:
            errors[name] = [f"At most {MAX_SETTINGS_BYTES} bytes of JSON."]
    if errors:
        raise PresenceError(INVALID_INPUT, details={"fields": errors})


def _is_position(value: Mapping[str, Any]) -> bool:
    return all(
        isinstance(place := value.get(axis), int | float) and not isinstance(place, bool) and abs(place) <= MOST_METRES
        for axis in "xyz"
    )


def _merged(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings after a change: `settings` merged by its names (RFC 7396, one level), others replaced."""
    after = {**before, **given}
    if "settings" in given:
        merged = {**before["settings"], **given["settings"]}
        after["settings"] = {name: value for name, value in merged.items() if value is not None}
    return after
