"""Roles given in a space: who has one, giving and taking away."""

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Action, Standing
from libs.common.bus.base import Caller
from libs.common.contracts import moderation
from libs.common.contracts.moderation import (
    AccountRole,
    GetRole,
    ListRoles,
    RemoveRole,
    RoleChanged,
    Roles,
    SetRole,
)
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.errors import CONFLICT, PresenceError
from libs.common.identity import Identity
from libs.common.roles import Role
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation import roles_repository as repository
from services.spaces_auth.moderation.audit_repository import Entry
from services.spaces_auth.moderation.audited_changes import AuditedChanges, Change
from services.spaces_auth.moderation.subjects import Subject


class RoleHandlers:
    """For a space's owner and operators."""

    def __init__(
        self, database: Database, reads: Database, changes: AuditedChanges, operators: tuple[str, ...]
    ) -> None:
        self._database = database
        self._reads = reads
        self._changes = changes
        self._operators = operators

    async def list_roles(self, caller: Caller, request: ListRoles) -> Roles:
        """Returns a page of the roles given in the space, by account."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        after = cursor.decode(request.cursor, tuple[cursor.Text])[0] if request.cursor else ""
        async with self._reads.read() as connection:
            await self._changes.require(connection, caller, space, Action.GIVE_ROLES)
            rows = await repository.page(connection, space, after, request.limit + 1)
        page = rows[: request.limit]
        return Roles(page, cursor.encode(page[-1].account) if len(rows) > len(page) else None)

    async def get_role(self, caller: Caller, request: GetRole) -> AccountRole:
        """Returns an account's role in the space, with the role that was given to it there."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._reads.read() as connection:
            await self._changes.require(connection, caller, space, Action.GIVE_ROLES)
            return await self._role(connection, space, request.account)

    async def set_role(self, caller: Caller, request: SetRole) -> AccountRole:
        """Gives a role. Raises `conflict` for the owner and for operators, who need none."""
        return await self._give(caller, request, request.role)

    async def remove_role(self, caller: Caller, request: RemoveRole) -> AccountRole:
        """Takes the given role away; returns the role that the account still has, since the content may name it."""
        return await self._give(caller, request, None)

    async def _give(self, caller: Caller, request: SetRole | RemoveRole, role: str | None) -> AccountRole:
        """Gives `role`, or takes it away for None."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        account = request.account

        async def prepare(connection: AsyncConnection, _: Standing) -> Change | None:
            current = await self._role(connection, space, account)
            if role and current.role in (Role.OWNER.label, Role.OPERATOR.label):
                raise PresenceError(CONFLICT, f"{account} is {current.role} here already.")
            if current.given == role:
                return None

            async def save(connection: AsyncConnection, _: str) -> None:
                if role is None:
                    await repository.remove(connection, space, account)
                else:
                    await repository.give(connection, space, account, role, caller.identity.id)

            entry = Entry("role", Subject("account", account), request.reason, details={"role": role})
            return Change(entry, moderation.role_changed, RoleChanged(account, role, caller.identity.id), save)

        await self._changes.carry_out(caller, space, Action.GIVE_ROLES, "role", request.client_message_id, prepare)
        async with self._database.read() as connection:
            return await self._role(connection, space, account)

    async def _role(self, connection: AsyncConnection, space: SpaceKey, account: str) -> AccountRole:
        standing = await access.look(connection, Identity("account", account, account), space, self._operators)
        given = await repository.get(connection, space, account)
        if given is None:
            return AccountRole(account, standing.role.label, None, None, None)
        return AccountRole(account, standing.role.label, given.role, given.given_by, given.created_at)
