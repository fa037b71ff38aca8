"""What realtime saw, made durable: `presence_sessions`, and joins and leaves in the log."""

from collections.abc import Iterable, Sequence
from functools import partial

from libs.common.bus.base import Caller
from libs.common.contracts.spaces import (
    PresenceChange,
    Recorded,
    RecordPresence,
    Visit,
    member_joined,
    member_left,
)
from libs.common.db.event_log import EventLog, Fact
from libs.common.spaces import SpaceKey
from services.spaces_auth import presence_repository as repository


class PresenceHandlers:
    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def record(self, caller: Caller, request: RecordPresence) -> Recorded:
        """Idempotent by session id: a batch that comes twice changes nothing the second time."""
        changes = {(c.session_id, c.kind): c for c in request.changes}
        last = {c.session_id: c for c in request.changes}
        left = [c for c in changes.values() if c.kind == "leave"]
        async with self._log.transaction() as tx:
            entered = await repository.ensure_sessions(tx.connection, list(last.values()))
            ended = await repository.end_sessions(tx.connection, left)
            facts = [*_facts(last.values(), entered, joined=True), *_facts(left, ended, joined=False)]
            await tx.append_all(facts, caller)
        return Recorded(len(facts))


def _facts(changes: Iterable[PresenceChange], news: set[str], *, joined: bool) -> Sequence[Fact[Visit]]:
    event = member_joined if joined else member_left
    return [
        Fact(
            event,
            SpaceKey(change.space_type, change.space_id),
            change.subspace,
            partial(_visit, change, joined),
            actor=_actor(change),
        )
        for change in changes
        if change.session_id in news
    ]


def _actor(change: PresenceChange) -> str:
    return f"account:{change.user_account}" if change.user_account else f"guest:{change.guest_id}"


def _visit(change: PresenceChange, joined: bool, _seq: int) -> Visit:
    return Visit(
        session_id=change.session_id,
        user_account=change.user_account,
        guest=change.user_account is None,
        display_name=change.display_name,
        subspace=change.subspace,
        reason=None if joined else change.reason,
    )
