"""Bans, mutes and kicks, and the audit trail of everything done in a space's name."""

from dataclasses import replace
from datetime import datetime

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action, Standing
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts import moderation
from libs.common.contracts.auth import Empty
from libs.common.contracts.moderation import (
    AuditTrail,
    ImposeSanction,
    Kick,
    LiftSanction,
    ListAudit,
    ListSanctions,
    Moderated,
    Sanction,
    Sanctions,
)
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.errors import CONFLICT, INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.ids import is_id, new_id
from libs.common.roles import Role
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation import audit_repository, sanctions_repository, subjects
from services.spaces_auth.moderation.audit_repository import Entry
from services.spaces_auth.moderation.audited_changes import AuditedChanges, Change
from services.spaces_auth.moderation.removals_repository import Removal
from services.spaces_auth.moderation.sanctions_repository import BEATS_ALL
from services.spaces_auth.moderation.subjects import Subject


class ModerationHandlers:
    """For a space's owner, its moderators and operators."""

    def __init__(self, database: Database, reads: Database, redis: Redis, changes: AuditedChanges) -> None:
        self._database = database
        self._reads = reads
        self._redis = redis
        self._changes = changes

    async def ban(self, caller: Caller, request: ImposeSanction) -> Sanction:
        """Bans, in the place of an earlier ban; members whom it hits are put out, with the reason."""
        return await self._impose(caller, request, "ban")

    async def mute(self, caller: Caller, request: ImposeSanction) -> Sanction:
        """Mutes, in the place of an earlier mute; the muted stay in the space."""
        return await self._impose(caller, request, "mute")

    async def unban(self, caller: Caller, request: LiftSanction) -> Empty:
        """Lifts a ban. Raises `not_found` if none is in force."""
        return await self._lift(caller, request, "ban")

    async def unmute(self, caller: Caller, request: LiftSanction) -> Empty:
        """Lifts a mute. Raises `not_found` if none is in force."""
        return await self._lift(caller, request, "mute")

    async def kick(self, caller: Caller, request: Kick) -> Empty:
        """Puts the person, or everybody from an address, out; they may come back at once."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        subject = await self._find(caller, space, request)

        async def prepare(connection: AsyncConnection, moderator: Standing) -> Change:
            await self._changes.require_over(connection, moderator, subject)
            return Change(
                Entry("kick", subject, request.reason),
                moderation.moderated,
                _moderated("kick", caller, subject, request.reason),
                _nothing,
                Removal([subject], int(moderator.role), "kicked", request.reason),
            )

        await self._changes.carry_out(caller, space, Action.MODERATE, "kick", request.client_message_id, prepare)
        return Empty()

    async def list_bans(self, caller: Caller, request: ListSanctions) -> Sanctions:
        """Returns a page of the bans, or mutes, in force, newest first."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._reads.read() as connection:
            moderator = await self._changes.require(connection, caller, space, Action.MODERATE)
            before = _before(request.cursor)
            rows = await sanctions_repository.page(connection, space, request.kind, before, request.limit + 1)
        page = rows[: request.limit]
        next_cursor = cursor.encode(page[-1].id) if len(rows) > len(page) else None
        addresses = moderator.role is Role.OPERATOR
        return Sanctions([sanctions_repository.as_contract(row, addresses=addresses) for row in page], next_cursor)

    async def list_audit(self, caller: Caller, request: ListAudit) -> AuditTrail:
        """Returns a page of the audit trail, newest first; address ranges are for operators only."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._reads.read() as connection:
            moderator = await self._changes.require(connection, caller, space, Action.MODERATE)
            entries = await audit_repository.page(connection, space, _before(request.cursor), request.limit + 1)
        page = entries[: request.limit]
        if moderator.role is not Role.OPERATOR:
            page = [replace(entry, subject=None) if entry.subject_kind == "address" else entry for entry in page]
        return AuditTrail(page, cursor.encode(page[-1].id) if len(entries) > len(page) else None)

    async def _find(self, caller: Caller, space: SpaceKey, request: Kick) -> Subject:
        """Returns the subject that the request means.

        It asks the policy first, so that nobody without the right to moderate learns who is in the space.
        """
        async with self._database.read() as connection:
            moderator = await self._changes.require(connection, caller, space, Action.MODERATE)
        subject = await subjects.find(self._redis, space, request)
        subject.require_narrow(moderator.role)
        return subject

    async def _impose(self, caller: Caller, request: ImposeSanction, kind: str) -> Sanction:
        space = SpaceKey.parse(request.space_type, request.space_id)
        _require_future(request.until)
        subject = await self._find(caller, space, request)
        came_from = await subjects.address_of(self._redis, space, subject)
        address = came_from if request.with_address else None
        beside = came_from.address_range if came_from and subject.kind == "guest" else None  # other guests from there

        async def prepare(connection: AsyncConnection, moderator: Standing) -> Change:
            await self._changes.require_over(connection, moderator, subject)
            targets = [subject, address] if address else [subject]

            async def impose(connection: AsyncConnection, audit_id: str) -> None:
                for sanction_id, target in zip((audit_id, new_id()), targets, strict=False):
                    await sanctions_repository.impose(
                        connection,
                        space,
                        sanction_id,
                        kind,
                        target,
                        _beats(moderator, target),
                        caller.identity.id,
                        request.reason,
                        request.until,
                        beside if target is subject else None,
                    )

            return Change(
                Entry(kind, subject, request.reason, request.until, {"with_address": address is not None}),
                moderation.moderated,
                _moderated(kind, caller, subject, request.reason, request.until),
                impose,
                Removal(targets, int(moderator.role), "banned", request.reason) if kind == "ban" else None,
            )

        made = await self._changes.carry_out(caller, space, Action.MODERATE, kind, request.client_message_id, prepare)
        async with self._database.read() as connection:
            moderator = await self._changes.require(connection, caller, space, Action.MODERATE)
            row = await sanctions_repository.get(connection, made or "")
        if row is None:
            raise PresenceError(CONFLICT, "That client_message_id was another command's.")
        return sanctions_repository.as_contract(row, addresses=moderator.role is Role.OPERATOR)

    async def _lift(self, caller: Caller, request: LiftSanction, kind: str) -> Empty:
        space = SpaceKey.parse(request.space_type, request.space_id)
        named = subjects.named(request)

        async def prepare(connection: AsyncConnection, _: Standing) -> Change:
            subject = named or await sanctions_repository.subject_of(connection, space, kind, request.id or "")
            if subject is None:
                raise PresenceError(NOT_FOUND, f"No such {kind} is in force.")

            async def lift(connection: AsyncConnection, _: str) -> None:
                if not await sanctions_repository.lift(connection, space, kind, subject):
                    raise PresenceError(NOT_FOUND, f"No such {kind} is in force.")

            return Change(
                Entry(f"un{kind}", subject, request.reason),
                moderation.moderated,
                _moderated(f"un{kind}", caller, subject, request.reason),
                lift,
            )

        await self._changes.carry_out(caller, space, Action.MODERATE, f"un{kind}", request.client_message_id, prepare)
        return Empty()


def _beats(moderator: Standing, subject: Subject) -> int:
    """Returns the role from which on the sanction does not hold.

    A person is hit whatever role they get later; an address must not hit people above the moderator.
    """
    return int(moderator.role) if subject.kind == "address" else BEATS_ALL


def _moderated(action: str, caller: Caller, subject: Subject, reason: str, until: datetime | None = None) -> Moderated:
    return Moderated(action, subject.kind, subject.public_id, reason, until, caller.identity.id)


async def _nothing(_: AsyncConnection, __: str) -> None:
    """Changes nothing: a kick has no effect but its removal."""


def _require_future(until: datetime | None) -> None:
    if until is not None and until <= now():
        raise PresenceError(CONFLICT, "`until` is over already.")


def _before(encoded: str | None) -> str | None:
    """Returns the id after which a page begins. Raises `invalid_input` for a cursor that is not one of ours."""
    if encoded is None:
        return None
    (last_id,) = cursor.decode(encoded, tuple[str])
    if not is_id(last_id):
        raise PresenceError(INVALID_INPUT, "The cursor is not one of ours; begin again without it.")
    return last_id
