"""What realtime saw, made durable: `presence_sessions`, and joins and leaves in the log."""

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
    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def record(self, caller: Caller, request: RecordPresence) -> Recorded:
        """Idempotent by session id: a batch that comes twice changes nothing the second time."""
        stays = _stays(request.changes)
        left = [stay.end for stay in stays if stay.end]
        async with self._log.transaction() as tx:
            entered = await repository.ensure_sessions(tx.connection, stays)
            ended = await repository.end_sessions(tx.connection, left)
            begun = [stay.begin for stay in stays]
            facts = [*_facts(begun, entered, joined=True), *_facts(left, ended, joined=False)]
            await tx.append_all(facts, caller)
        return Recorded(len(facts))


def _stays(changes: Iterable[PresenceChange]) -> list[Stay]:
    """What the changes say of each session, whatever their order; sorted, so that two batches cannot deadlock."""
    by_session: dict[str, list[PresenceChange]] = {}
    for change in changes:
        by_session.setdefault(change.session_id, []).append(change)
    return [_stay(by_session[session_id]) for session_id in sorted(by_session)]


def _stay(changes: list[PresenceChange]) -> Stay:
    """It begins with its join; where that is not among them, with the first thing known of it."""
    in_time = sorted(changes, key=lambda change: change.at)
    by_kind = {change.kind: change for change in in_time}
    return Stay(by_kind.get("join", in_time[0]), by_kind.get("leave"), in_time[-1].at)


def _facts(changes: Iterable[PresenceChange], news: set[str], *, joined: bool) -> Sequence[Fact[StayChanged]]:
    event = member_joined if joined else member_left
    news_in_time = sorted((change for change in changes if change.session_id in news), key=lambda change: change.at)
    return [
        Fact(
            event,
            SpaceKey(change.space_type, change.space_id),
            change.subspace,
            partial(_visit, change, joined),
            actor=_actor(change),
        )
        for change in news_in_time
    ]


def _actor(change: PresenceChange) -> str:
    return f"account:{change.user_account}" if change.user_account else f"guest:{change.guest_id}"


def _visit(change: PresenceChange, joined: bool, _seq: int) -> StayChanged:
    return StayChanged(
        session_id=change.session_id,
        user_account=change.user_account,
        guest=change.user_account is None,
        display_name=change.display_name,
        subspace=change.subspace,
        reason=None if joined else change.reason,
    )
