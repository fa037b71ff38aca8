"""Bans, mutes and kicks."""

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
from services.spaces_auth.moderation import sanctions_repository as repository
from services.spaces_auth.moderation import subjects
from services.spaces_auth.moderation.audited_changes import Acting, Deed
from services.spaces_auth.moderation.sanctions_repository import BEATS_ALL, Entry, Removal
from services.spaces_auth.moderation.subjects import Subject


class ModerationHandlers:
    def __init__(self, database: Database, redis: Redis, acting: Acting) -> None:
        self._database, self._redis, self._acting = database, redis, acting

    async def ban(self, caller: Caller, request: ImposeSanction) -> Sanction:
        """In the place of an earlier one; members whom it hits are put out, with the reason."""
        return await self._impose(caller, request, "ban")

    async def mute(self, caller: Caller, request: ImposeSanction) -> Sanction:
        return await self._impose(caller, request, "mute")

    async def unban(self, caller: Caller, request: LiftSanction) -> Empty:
        """Raises `not_found` where none is in force."""
        return await self._lift(caller, request, "ban")

    async def unmute(self, caller: Caller, request: LiftSanction) -> Empty:
        return await self._lift(caller, request, "mute")

    async def kick(self, caller: Caller, request: Kick) -> Empty:
        space = SpaceKey.parse(request.space_type, request.space_id)
        subject = await self._find(caller, space, request)

        async def prepare(connection: AsyncConnection, mine: Standing) -> Deed:
            await self._acting.require_over(connection, mine, subject)
            return Deed(
                Entry("kick", subject, request.reason),
                moderation.moderated,
                _told("kick", caller, subject, request.reason),
                _nothing,
                Removal([subject], int(mine.role), "kicked", request.reason),
            )

        await self._acting.carry_out(caller, space, Action.MODERATE, "kick", request.client_message_id, prepare)
        return Empty()

    async def list_bans(self, caller: Caller, request: ListSanctions) -> Sanctions:
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read() as connection:
            mine = await self._acting.look(connection, caller, space, Action.MODERATE)
            rows = await repository.sanctions(
                connection, space, request.kind, _before(request.cursor), request.limit + 1
            )
        page = rows[: request.limit]
        more = cursor.encode(page[-1].id) if len(rows) > len(page) else None
        return Sanctions([repository.shown(row, addresses=mine.role is Role.OPERATOR) for row in page], more)

    async def list_audit(self, caller: Caller, request: ListAudit) -> AuditTrail:
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read() as connection:
            mine = await self._acting.look(connection, caller, space, Action.MODERATE)
            entries = await repository.audit(connection, space, _before(request.cursor), request.limit + 1)
        page = entries[: request.limit]
        if mine.role is not Role.OPERATOR:
            page = [replace(entry, subject=None) if entry.subject_kind == "address" else entry for entry in page]
        return AuditTrail(page, cursor.encode(page[-1].id) if len(entries) > len(page) else None)

    async def _find(self, caller: Caller, space: SpaceKey, request: Kick) -> Subject:
        """Allowed first: who may not moderate does not learn who is there."""
        async with self._database.read() as connection:
            mine = await self._acting.look(connection, caller, space, Action.MODERATE)
        subject = await subjects.find(self._redis, space, request)
        subject.require_narrow(mine.role)
        return subject

    async def _impose(self, caller: Caller, request: ImposeSanction, kind: str) -> Sanction:
        space = SpaceKey.parse(request.space_type, request.space_id)
        _require_future(request.until)
        subject = await self._find(caller, space, request)
        extra = await subjects.address_of(self._redis, space, subject) if request.with_address else None

        async def prepare(connection: AsyncConnection, mine: Standing) -> Deed:
            await self._acting.require_over(connection, mine, subject)
            hit = [subject, extra] if extra else [subject]

            async def change(connection: AsyncConnection, audit_id: str) -> None:
                for number, one in enumerate(hit):
                    await repository.impose(
                        connection, space, audit_id if number == 0 else new_id(), kind, one, _beats(mine, one),
                        caller.identity.id, request.reason, request.until,
                    )  # fmt: skip

            return Deed(
                Entry(kind, subject, request.reason, request.until, {"with_address": extra is not None}),
                moderation.moderated,
                _told(kind, caller, subject, request.reason, request.until),
                change,
                Removal(hit, int(mine.role), "banned", request.reason) if kind == "ban" else None,
            )  # fmt: skip

        made = await self._acting.carry_out(caller, space, Action.MODERATE, kind, request.client_message_id, prepare)
        async with self._database.read() as connection:
            mine = await self._acting.look(connection, caller, space, Action.MODERATE)
            row = await repository.sanction(connection, made or "")
        if row is None:
            raise PresenceError(CONFLICT, "That client_message_id was another command's.")
        return repository.shown(row, addresses=mine.role is Role.OPERATOR)

    async def _lift(self, caller: Caller, request: LiftSanction, kind: str) -> Empty:
        space = SpaceKey.parse(request.space_type, request.space_id)
        named = subjects.named(request)
        if named is None and request.id is None:
            raise PresenceError(INVALID_INPUT, details={"fields": {"id": ["Say which: id, or whom it hits."]}})

        async def prepare(connection: AsyncConnection, _: Standing) -> Deed:
            subject = named or await repository.subject_of(connection, space, kind, request.id or "")
            if subject is None:
                raise PresenceError(NOT_FOUND, f"No such {kind} is in force.")

            async def change(connection: AsyncConnection, _: str) -> None:
                if not await repository.lift(connection, space, kind, subject):
                    raise PresenceError(NOT_FOUND, f"No such {kind} is in force.")

            return Deed(
                Entry(f"un{kind}", subject, request.reason),
                moderation.moderated,
                _told(f"un{kind}", caller, subject, request.reason),
                change,
            )

        await self._acting.carry_out(caller, space, Action.MODERATE, f"un{kind}", request.client_message_id, prepare)
        return Empty()


def _beats(mine: Standing, subject: Subject) -> int:
    """A person is hit whatever they become; an address must not hit those above who says so."""
    return int(mine.role) if subject.kind == "address" else BEATS_ALL


def _told(action: str, caller: Caller, subject: Subject, reason: str, until: datetime | None = None) -> Moderated:
    return Moderated(action, subject.kind, subject.told, reason, until, caller.identity.id)


async def _nothing(_: AsyncConnection, __: str) -> None:
    """A kick changes nothing but who is there."""


def _require_future(until: datetime | None) -> None:
    if until is not None and until <= now():
        raise PresenceError(INVALID_INPUT, details={"fields": {"until": ["Must be in the future."]}})


def _before(encoded: str | None) -> str | None:
    """The id that a page begins after."""
    if encoded is None:
        return None
    (found,) = cursor.decode(encoded, tuple[str])
    if not is_id(found):
        raise PresenceError(INVALID_INPUT, "The cursor is not one of ours; begin again without it.")
    return found
