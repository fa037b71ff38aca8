"""Reviews the members of a space after its access changed, and sockets that want to enter; and leaving by REST."""

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
from services.spaces_auth.communities.communities import Communities
from services.spaces_auth.moderation import removals_repository
from services.spaces_auth.moderation.access_epochs import AccessEpochs
from services.spaces_auth.moderation.removals_repository import Removal
from services.spaces_auth.moderation.sanctions_repository import BEATS_ALL
from services.spaces_auth.moderation.subjects import Subject
from services.spaces_auth.spaces import live

LEFT_TEXT = "You left this space elsewhere."


class ReviewHandlers:
    """Decides who stays in a space and who has to leave it."""

    def __init__(
        self,
        database: Database,
        redis: Redis,
        log: EventLog,
        epochs: AccessEpochs,
        communities: Communities,
        operators: tuple[str, ...],
    ) -> None:
        self._database = database
        self._redis = redis
        self._log = log
        self._epochs = epochs
        self._communities = communities
        self._operators = operators

    async def review(self, _: Caller, request: Review) -> Reviewed:
        """Returns a verdict on each member, also on those that want to enter; by two queries whatever their number.

        Raises `unavailable` while Redis is away.
        """
        space = SpaceKey.parse(request.space_type, request.space_id)
        await self._communities.ensure(space, next((member.address for member in request.members), ""))
        with cache.redis_unavailable():
            epoch = await cache.read_epoch(self._redis, space)
        people = [(_identity(member), member.address) for member in request.members]
        oldest = min((m.after_seq for m in request.members if m.after_seq is not None), default=None)
        async with self._database.read() as connection:
            standings = await access.look_at_all(connection, people, space, self._operators) if people else []
            removals = [] if oldest is None else await removals_repository.since(connection, space, oldest)
        verdicts = [_verdict(m, s, removals) for m, s in zip(request.members, standings, strict=True)]
        entering = zip(request.members, people, verdicts, strict=True)
        with cache.redis_unavailable():
            if any(verdict.stays for verdict in verdicts):
                await cache.keep_epoch(self._redis, space, epoch)
            addresses = {
                identity.key: address
                for member, (identity, address), verdict in entering
                if verdict.stays and member.after_seq is None
            }
            await live.note_addresses(self._redis, space, addresses)
        settings = dict(standings[0].settings) if standings else dict(access.DEFAULT_SETTINGS)
        return Reviewed(epoch, settings["max_users"], settings, verdicts)

    async def leave(self, caller: Caller, request: LeaveSpace) -> LeftSpace:
        """Takes every socket of the caller out of the space, on all replicas. A caller without a token has none."""
        space, identity = SpaceKey.parse(request.space_type, request.space_id), caller.identity
        sockets = await live.sockets_of(self._redis, space, identity) if identity.token_id else 0
        if sockets and identity.kind != "service":
            requested = LeaveRequested(identity.kind, identity.id)
            removal = Removal([Subject(identity.kind, identity.id)], BEATS_ALL + 1, "left", LEFT_TEXT)
            async with self._log.transaction() as tx:
                event = await tx.append(spaces.leave_requested, space, caller, lambda _: requested)
                await removals_repository.insert(tx.connection, space, event.seq, removal)
            await self._epochs.raise_soon(event)
        return LeftSpace(True, sockets)


def _identity(member: ReviewedMember) -> Identity:
    return Identity(member.kind, member.id, member.id, operator=member.operator)  # type: ignore[arg-type]


def _verdict(member: ReviewedMember, standing: Standing, removals: Sequence[Row[Any]]) -> Verdict:
    role = standing.role.label
    removal = next((row for row in removals if _hits(row, member, standing)), None)
    try:
        standing.require(Action.ENTER)
    except PresenceError as error:
        reason = removal.reason if removal and removal.code == error.kind.code else error.text
        return Verdict(member.socket_id, False, role, error.kind.code, reason)
    if removal is None:
        return Verdict(member.socket_id, True, role, muted=standing.muted, mute_ends=standing.mute_ends)
    # A ban that was lifted since: the member was to leave when it was imposed, and may come back.
    code = "kicked" if removal.code == "banned" else removal.code
    return Verdict(member.socket_id, False, role, code, removal.reason)


def _hits(removal: Row[Any], member: ReviewedMember, standing: Standing) -> bool:
    """Returns true if the removal means the member, who entered before it and has no role above it."""
    if member.after_seq is None or member.after_seq >= removal.seq or standing.role >= removal.beats:
        return False
    if removal.subject_kind != "address":
        return bool((removal.subject_kind, removal.subject) == (member.kind, member.id))
    address = canonical(member.address)
    return address is not None and ip_address(address) in ip_network(removal.subject)
