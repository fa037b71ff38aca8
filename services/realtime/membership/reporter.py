"""Tells spaces_auth who came, went and is still here: batched once a second, tried until taken."""

import contextlib
from collections.abc import Callable

import msgspec
import structlog

from libs.common.bus.base import Bus, Caller
from libs.common.clock import now
from libs.common.contracts import spaces
from libs.common.contracts.members import Member
from libs.common.contracts.presence import Position
from libs.common.contracts.schema import is_storable
from libs.common.contracts.spaces import PresenceChange, RecordPresence
from libs.common.errors import INTERNAL, PresenceError
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background

_log = structlog.get_logger(__name__)
type PositionOf = Callable[[SpaceKey, str, str], Position | None]  # of a socket in a subspace
FLUSH_SECONDS = 1.0
HEARTBEAT_SECONDS = 60.0
BATCH = 500


class Reporter:
    """A component. It remembers the stays of this replica whose join it reported: they alone have a heartbeat, and a
    leave to report. `position_of` says where a socket moved to, None for one that has not moved."""

    def __init__(self, bus: Bus, replica: str, position_of: PositionOf) -> None:
        self._bus = bus
        self._replica = replica
        self._position_of = position_of
        self._stays: dict[str, tuple[SpaceKey, Member]] = {}
        self._waiting: list[PresenceChange] = []
        self._background = Background()

    async def start(self) -> None:
        self._background.every(FLUSH_SECONDS, self._flush)
        self._background.every(HEARTBEAT_SECONDS, self._beat)

    async def stop(self) -> None:
        await self._background.end()
        with contextlib.suppress(PresenceError):
            await self._flush()

    def join(self, space: SpaceKey, member: Member) -> None:
        self._stays[member.stay_id] = space, member
        self._report("join", space, member)

    def leave(self, space: SpaceKey, member: Member, reason: str) -> None:
        """Reports that a stay ended, of this replica or of one that cannot say so itself.

        Nothing is reported for a member of this replica whose join was not.
        """
        if self._stays.pop(member.stay_id, None) or member.replica != self._replica:
            self._report("leave", space, member, reason)

    def _report(self, kind: str, space: SpaceKey, member: Member, reason: str | None = None) -> None:
        position = self._position_of(space, member.subspace, member.socket_id) or member.position
        self._waiting.append(
            PresenceChange(
                session_id=member.stay_id,
                kind=kind,
                space_type=space.space_type,
                space_id=space.space_id,
                subspace=member.subspace,
                socket_id=member.socket_id,
                replica_id=member.replica,
                user_account=member.user_account,
                guest_id=member.guest_id,
                display_name=member.display_name,
                at=now(),
                reason=reason,
                position=msgspec.to_builtins(position),
                avatar_data=member.avatar_data if is_storable(member.avatar_data) else None,
                voice=msgspec.to_builtins(member.voice),
            )
        )

    async def _flush(self) -> None:
        """Sends in order; what is not taken stays first in line.

        What comes meanwhile waits for the next time: of a crowd that enters, few large batches cost the space's
        counter, and so those who talk there, less than many small ones.
        """
        left = len(self._waiting)
        while left > 0:
            batch = self._waiting[: min(BATCH, left)]
            caller = Caller(service_identity("realtime"), new_id())
            try:
                await self._bus.call(spaces.record_presence, RecordPresence(batch), caller)
            except PresenceError as error:
                if error.kind.temporary or error.kind is INTERNAL:
                    raise
                _log.error("presence report refused", changes=len(batch), error=str(error), details=error.details)
            del self._waiting[: len(batch)]
            left -= len(batch)

    async def _beat(self) -> None:
        for space, member in self._stays.values():
            self._report("heartbeat", space, member)
