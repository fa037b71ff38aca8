"""Who of those in a space may stay, after something changed; and leaving by REST."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import Row

from libs.common import access, cache
from libs.common.access import Action, Standing
from libs.common.addresses import canonical
from libs.common.bus.base import Caller
from libs.common.contracts import spaces
from libs.common.contracts.spaces import (
    LeaveRequested,
    LeaveSpace,
    LeftSpace,
    Review,
    Reviewed,
    ReviewedMember,
    Verdict,
)
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation import sanctions_repository as repository
from services.spaces_auth.moderation.access_epochs import Epochs
from services.spaces_auth.moderation.sanctions_repository import BEATS_ALL, Removal
from services.spaces_auth.moderation.subjects import Subject
from services.spaces_auth.spaces import live

LEFT_TEXT = "You left this space elsewhere."


class ReviewHandlers:
    def __init__(
        self, database: Database, redis: Redis, log: EventLog, epochs: Epochs, operators: tuple[str, ...]
    ) -> None:
        self._database, self._redis, self._log, self._epochs = database, redis, log, epochs
        self._operators = operators

    async def review(self, _: Caller, request: Review) -> Reviewed:
        """A verdict on each member, by two queries whatever their number; also on who wants to enter."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        with cache.redis_unavailable():
            epoch = await cache.read_epoch(self._redis, space)
        people = [(_identity(member), member.address) for member in request.members]
        oldest = min((m.after_seq for m in request.members if m.after_seq is not None), default=None)
        async with self._database.read() as connection:
            standings = await access.look_at_all(connection, people, space, self._operators) if people else []
            gone = [] if oldest is None else await repository.removals(connection, space, oldest)
        verdicts = [_verdict(m, s, gone) for m, s in zip(request.members, standings, strict=True)]
        entering = zip(request.members, people, verdicts, strict=True)
        with cache.redis_unavailable():
            addresses = {who.key: address for m, (who, address), v in entering if v.stays and m.after_seq is None}
            await live.note_addresses(self._redis, space, addresses)
        settings = dict(standings[0].settings) if standings else dict(access.DEFAULT_SETTINGS)
        return Reviewed(epoch, settings["max_users"], settings, verdicts)

    async def leave(self, caller: Caller, request: LeaveSpace) -> LeftSpace:
        """Every socket of the caller's account, or of the guest, on whatever replica. Without a token there is none."""
        space, identity = SpaceKey.parse(request.space_type, request.space_id), caller.identity
        mine = await live.sockets_of(self._redis, space, identity) if identity.token_id else 0
        if mine and identity.kind != "service":
            asked = LeaveRequested(identity.kind, identity.id)
            removal = Removal([Subject(identity.kind, identity.id)], BEATS_ALL + 1, "left", LEFT_TEXT)
            async with self._log.transaction() as tx:
                event = await tx.append(spaces.leave_requested, space, caller, lambda _: asked)
                await repository.remove(tx.connection, space, event.seq, removal)
            await self._epochs.raise_soon(event)
        return LeftSpace(True, mine)


def _identity(member: ReviewedMember) -> Identity:
    return Identity(member.kind, member.id, member.id, operator=member.operator)  # type: ignore[arg-type]


def _verdict(member: ReviewedMember, standing: Standing, gone: Sequence[Row[Any]]) -> Verdict:
    role = standing.role.label
    removal = next((row for row in gone if _hits(row, member, standing)), None)
    try:
        standing.require(Action.ENTER)
    except PresenceError as error:
        told = removal.reason if removal and removal.code == error.kind.code else error.text
        return Verdict(member.socket_id, False, role, error.kind.code, told)
    if removal is None:
        return Verdict(member.socket_id, True, role)
    # Banned, but not any more: they were to leave then, and may come back.
    return Verdict(
        member.socket_id, False, role, "kicked" if removal.code == "banned" else removal.code, removal.reason
    )  # fmt: skip


def _hits(removal: Row[Any], member: ReviewedMember, standing: Standing) -> bool:
    """Whether the member was there before it, is meant by it, and is not above it."""
    if member.after_seq is None or member.after_seq >= removal.seq or standing.role >= removal.beats:
        return False
    if removal.subject_kind != "address":
        return bool((removal.subject_kind, removal.subject) == (member.kind, member.id))
    address = canonical(member.address)
    return address is not None and ip_address(address) in ip_network(removal.subject)
