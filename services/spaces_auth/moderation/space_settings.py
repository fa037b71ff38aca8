"""A space's settings, and the roles given in it."""

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
    AccountRole,
    GetRole,
    ListRoles,
    RemoveRole,
    RoleChanged,
    Roles,
    SetRole,
    SpaceSettings,
    SpaceUpdated,
    UpdateSettings,
)
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.errors import CONFLICT, INVALID_INPUT, PresenceError
from libs.common.identity import Identity
from libs.common.roles import Role
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation import space_settings_repository as repository
from services.spaces_auth.moderation.audited_changes import Acting, Deed
from services.spaces_auth.moderation.sanctions_repository import Entry
from services.spaces_auth.moderation.subjects import Subject


class GoverningHandlers:
    def __init__(self, database: Database, acting: Acting, operators: tuple[str, ...]) -> None:
        self._database, self._acting, self._operators = database, acting, operators

    async def update_settings(self, caller: Caller, request: UpdateSettings) -> SpaceSettings:
        """All settings as they are afterwards. Nothing is told where nothing changed."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        given = {name: value for name in DEFAULT_SETTINGS if (value := getattr(request, name)) is not None}
        _check(given)

        async def prepare(connection: AsyncConnection, mine: Standing) -> Deed | None:
            await repository.lock_settings(connection, space)
            before = (await access.look(connection, caller.identity, space, self._operators)).settings
            after = _merged(before, given)
            if after == before:
                return None

            async def change(connection: AsyncConnection, _: str) -> None:
                await repository.save_settings(connection, space, after, caller.identity.id)

            changed = {name: value for name, value in after.items() if before[name] != value}
            updated = SpaceUpdated(space.space_type, space.space_id, SpaceSettings(**after), caller.identity.id)
            entry = Entry("settings", reason=request.reason, details=changed)
            return Deed(entry, moderation.settings_changed, updated, change)

        await self._acting.carry_out(caller, space, Action.CONFIGURE, "settings", request.client_message_id, prepare)
        async with self._database.read() as connection:
            standing = await self._acting.look(connection, caller, space, Action.CONFIGURE)
        return SpaceSettings(**standing.settings)

    async def list_roles(self, caller: Caller, request: ListRoles) -> Roles:
        space = SpaceKey.parse(request.space_type, request.space_id)
        after = cursor.decode(request.cursor, tuple[cursor.Text])[0] if request.cursor else ""
        async with self._database.read() as connection:
            await self._acting.look(connection, caller, space, Action.GIVE_ROLES)
            rows = await repository.roles(connection, space, after, request.limit + 1)
        page = rows[: request.limit]
        return Roles(page, cursor.encode(page[-1].account) if len(rows) > len(page) else None)

    async def get_role(self, caller: Caller, request: GetRole) -> AccountRole:
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read() as connection:
            await self._acting.look(connection, caller, space, Action.GIVE_ROLES)
            return await self._role(connection, space, request.account)

    async def set_role(self, caller: Caller, request: SetRole) -> AccountRole:
        """Raises `conflict` for the owner and for operators, who need none."""
        return await self._give(caller, request, request.role)

    async def remove_role(self, caller: Caller, request: RemoveRole) -> AccountRole:
        """What the account still is afterwards; the content itself may name it."""
        return await self._give(caller, request, None)

    async def _give(self, caller: Caller, request: SetRole | RemoveRole, role: str | None) -> AccountRole:
        space = SpaceKey.parse(request.space_type, request.space_id)
        account = request.account

        async def prepare(connection: AsyncConnection, _: Standing) -> Deed | None:
            now = await self._role(connection, space, account)
            if role and now.role in (Role.OWNER.label, Role.OPERATOR.label):
                raise PresenceError(CONFLICT, f"{account} is {now.role} here already.")
            if now.given == role:
                return None

            async def change(connection: AsyncConnection, _: str) -> None:
                await repository.give_role(connection, space, account, role, caller.identity.id)

            entry = Entry("role", Subject("account", account), request.reason, details={"role": role})
            return Deed(entry, moderation.role_changed, RoleChanged(account, role, caller.identity.id), change)

        await self._acting.carry_out(caller, space, Action.GIVE_ROLES, "role", request.client_message_id, prepare)
        async with self._database.read() as connection:
            return await self._role(connection, space, account)

    async def _role(self, connection: AsyncConnection, space: SpaceKey, account: str) -> AccountRole:
        standing = await access.look(connection, Identity("account", account, account), space, self._operators)
        given = await repository.role(connection, space, account)
        if given is None:
            return AccountRole(account, standing.role.label, None, None, None)
        return AccountRole(account, standing.role.label, given.role, given.given_by, given.created_at)


def _check(given: Mapping[str, Any]) -> None:
    """Raises `invalid_input` naming every setting that is not of its form."""
    bad: dict[str, list[str]] = {}
    if "audio" in given and given["audio"].get("mode") not in AUDIO_MODES:
        bad["audio"] = [f"`mode` is one of {', '.join(AUDIO_MODES)}."]
    if "spawn" in given and not _is_position(given["spawn"]):
        bad["spawn"] = ["x, y and z in metres."]
    for name in ("audio", "spawn", "settings"):
        if name in given and len(msgspec.json.encode(given[name])) > MAX_SETTINGS_BYTES:
            bad[name] = [f"At most {MAX_SETTINGS_BYTES} bytes of JSON."]
    if bad:
        raise PresenceError(INVALID_INPUT, details={"fields": bad})


def _is_position(value: Mapping[str, Any]) -> bool:
    return all(
        isinstance(value.get(axis), int | float) and not isinstance(value[axis], bool) and abs(value[axis]) <= 1e6
        for axis in "xyz"
    )


def _merged(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` by its names (RFC 7396, one level deep), everything else as a whole."""
    after = {**before, **given}
    if "settings" in given:
        both = {**before["settings"], **given["settings"]}
        after["settings"] = {name: value for name, value in both.items() if value is not None}
    return after
