"""Answers who may enter: by an admission that is still true, else by asking spaces_auth."""

from collections.abc import Mapping, Sequence
from typing import Any

from libs.common.addresses import limited
from libs.common.bus.base import Bus, Caller
from libs.common.contracts import spaces
from libs.common.contracts.spaces import Authorization, Review, Reviewed, ReviewedMember, Verdict
from libs.common.errors import CATALOGUE, FORBIDDEN, PresenceError
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tasks.batching import Batches
from libs.common.tokens import Admission
from services.realtime.rooms.client import Client

MOST_AT_ONCE = 32  # of one question; more would keep everybody else waiting for long
MOST_KNOWN = 10_000  # spaces


class Authorizer:
    """An answer holds for the access epoch that it names; joining reads the epoch once more."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[SpaceKey, Authorization] = {}  # the newest answer for each space
        self._questions = Batches(self._review, MOST_AT_ONCE)

    async def __call__(self, client: Client, space: SpaceKey) -> Authorization:
        """Raises what the policy says: `not_found`, `banned`, `forbidden` and the like."""
        known, admission = self._known.get(space), client.token.admission
        if known and admission and _still_holds(admission, space, known.epoch, client.address):
            return Authorization(admission.role, known.epoch, known.max_users, known.settings)
        return await self.ask(client, space)

    async def ask(self, client: Client, space: SpaceKey) -> Authorization:
        """Asks spaces_auth, whatever is known: for a caller that saw an epoch newer than its answer's."""
        return await self._questions.do(space, client)

    async def _review(self, space: SpaceKey, entering: Sequence[Client]) -> list[Authorization | PresenceError]:
        request = Review(space.space_type, space.space_id, [reviewed(client) for client in entering])
        answer = await self._bus.call(spaces.review, request, Caller(service_identity("realtime"), new_id()))
        settings = self._shared_settings(space, answer)
        return [_authorization(answer, verdict, settings) for verdict in answer.verdicts]

    def _shared_settings(self, space: SpaceKey, answer: Reviewed) -> Mapping[str, Any]:
        """Returns one copy for all members of a space."""
        known = self._known.get(space)
        if known is None or known.epoch != answer.epoch:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[space] = Authorization("", answer.epoch, answer.max_users, answer.settings)
        return known.settings


def _still_holds(admission: Admission, space: SpaceKey, epoch: int, address: str) -> bool:
    """Returns whether nothing changed since, and it is used at its address: another one may be banned.

    A muted holder's never does: the mute may have ended.
    """
    if admission.muted:
        return False
    return admission.space == space and admission.epoch == epoch and admission.address == limited(address)


def reviewed(client: Client, after_seq: int | None = None) -> ReviewedMember:
    """Returns who a client is, for the policy. `after_seq` is its snapshot's number; None while it is entering."""
    identity = client.token.identity
    return ReviewedMember(client.sid, identity.kind, identity.id, identity.operator, client.address, after_seq)


def _authorization(answer: Reviewed, verdict: Verdict, settings: Any) -> Authorization | PresenceError:
    if not verdict.stays:
        return PresenceError(CATALOGUE.get(verdict.code or "", FORBIDDEN), verdict.reason or "")
    return Authorization(verdict.role, answer.epoch, answer.max_users, settings, verdict.muted, verdict.mute_ends)
