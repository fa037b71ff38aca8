"""Makes realtime's reports durable: rows of `presence_sessions`, and joins and leaves in the log."""

from collections.abc import Iterable, Sequence
from functools import partial

from libs.common.bus.base import Caller
from libs.common.contracts.spaces import (
    PresenceChange,
    Recorded,
    RecordPresence,
    StayChanged,
    member_joined,
    member_left,
)
from libs.common.db.event_log import EventLog, Fact
from libs.common.spaces import SpaceKey
from services.spaces_auth.joining import presence_repository as repository
from services.spaces_auth.joining.presence_repository import Stay


class PresenceHandlers:
    """Records stays; only realtime reports them."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def record(self, caller: Caller, request: RecordPresence) -> Recorded:
        """Records a batch of changes, and returns how many were new.

        Idempotent by stay: a batch that comes twice changes nothing the second time.
        """
        stays = _stays(request.changes)
        left = [stay.end for stay in stays if stay.end]
        async with self._log.transaction() as tx:
            entered = await repository.ensure(tx.connection, stays)
            ended = await repository.end(tx.connection, left)
            begun = [stay.begin for stay in stays]
            facts = [*_facts(begun, entered, joined=True), *_facts(left, ended, joined=False)]
            await tx.append_all(facts, caller)
        return Recorded(len(facts))


def _stays(changes: Iterable[PresenceChange]) -> list[Stay]:
    """Groups the changes by stay, whatever their order; sorted, so that two batches cannot deadlock."""
    by_stay: dict[str, list[PresenceChange]] = {}
    for change in changes:
        by_stay.setdefault(change.session_id, []).append(change)
    return [_stay(by_stay[stay_id]) for stay_id in sorted(by_stay)]


def _stay(changes: list[PresenceChange]) -> Stay:
    """Returns a stay that begins with its join or, if that is not in the batch, with the first change of it."""
    in_time = sorted(changes, key=lambda change: change.at)
    by_kind = {change.kind: change for change in in_time}
    return Stay(by_kind.get("join", in_time[0]), by_kind.get("leave"), in_time[-1])


def _facts(changes: Iterable[PresenceChange], new: set[str], *, joined: bool) -> Sequence[Fact[StayChanged]]:
    event = member_joined if joined else member_left
    new_in_time = sorted((change for change in changes if change.session_id in new), key=lambda change: change.at)
    return [
        Fact(
            event,
            SpaceKey(change.space_type, change.space_id),
            change.subspace,
            partial(_payload, change, joined),
            actor=_actor(change),
        )
        for change in new_in_time
    ]


def _actor(change: PresenceChange) -> str:
    return f"account:{change.user_account}" if change.user_account else f"guest:{change.guest_id}"


def _payload(change: PresenceChange, joined: bool, _seq: int) -> StayChanged:
    return StayChanged(
        session_id=change.session_id,
        user_account=change.user_account,
        guest=change.user_account is None,
        display_name=change.display_name,
        subspace=change.subspace,
        reason=None if joined else change.reason,
    )
