"""What this replica knows of each of its sockets."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from libs.common.bus.base import Caller
from libs.common.contracts.members import Member
from libs.common.contracts.spaces import Authorization
from libs.common.errors import RATE_LIMITED, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tokens import Token
from services.realtime.transport.engine import DirectSocket
from services.realtime.transport.packets import EventPacket

MAX_WAITING = 64  # commands of one socket that may wait for their turn
MOST_SIGNALS = 100  # a second, of one socket
MOST_JOINS = 5  # a second: everybody in the space is told of each, and it is kept
MAX_BACKLOG = 1024 * 1024  # bytes an account's socket may leave unread
MAX_GUEST_BACKLOG = 64 * 1024  # and a guest's


class PoseForm(Enum):
    """How a client is told of poses: events, or by the features `pose-batch` and `pose-compact`."""

    LEGACY = "aframe-update"
    BATCH = "pose-batch"
    COMPACT = "pose-compact"

    @classmethod
    def of(cls, features: Sequence[str]) -> "PoseForm":
        """The best one asked for."""
        return next((form for form in (cls.COMPACT, cls.BATCH) if form.value in features), cls.LEGACY)


@dataclass(slots=True)
class Place:
    """Where a socket is. Events up to `after_seq` are in what it was told on entering.

    While it is entering, `early` keeps the durable events that arrive before its snapshot is sent.
    """

    space: SpaceKey
    member: Member
    authorization: Authorization
    reported: bool = False  # spaces_auth hears of its joining, and so must of its leaving
    form: PoseForm = PoseForm.LEGACY
    knows_numbers: bool = False  # of `pose-compact`: while it polls it is told of none
    wants_interest: bool = False  # the feature `interest`: near ones often, far ones seldom
    speaks_naf: bool = False  # it came through networked-aframe's `joinRoom`
    after_seq: int = 0
    early: list[tuple[int, EventPacket]] | None = field(default_factory=list)

    @property
    def subspace(self) -> str:
        return self.member.subspace


@dataclass(slots=True)
class SignalBudget:
    """How many signals of a socket are looked at in a second; `most` of 0 is no limit."""

    most: int
    second: int = 0
    spent: int = 0

    def exceeded(self, cost: int = 1) -> bool:
        second = int(time.monotonic())
        if second != self.second:
            self.second, self.spent = second, 0
        self.spent += cost
        return 0 < self.most < self.spent


@dataclass(slots=True)
class Client:
    """A socket: who it is, and where. `turn` keeps its commands in the order in which they were sent."""

    sid: str
    namespace: str
    engine: DirectSocket
    token: Token
    address: str
    budgets: Sequence[SignalBudget]  # its own, its account's and its address'
    place: Place | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    snapshot_bytes: int = 0  # of the last snapshot, until a broadcast found that all was taken

    @property
    def is_inside(self) -> bool:
        """Whether it is in a space and was told so."""
        return self.place is not None and self.place.early is None

    def exceeds_budget(self, cost: int = 1) -> bool:
        """Spend so many signals; whether it was too much."""
        return any(budget.exceeded(cost) for budget in self.budgets)

    def spend_join(self) -> None:
        """A joining counts as many signals. Raises `rate_limited`."""
        if self.exceeds_budget(MOST_SIGNALS // MOST_JOINS):
            raise PresenceError(RATE_LIMITED, f"At most {MOST_JOINS} joins a second.")

    @property
    def person(self) -> str:
        """Who it is, if that can be proven again by the next connection; else empty."""
        return self.token.identity.key if self.token.identity.token_id else ""

    def caller(self) -> Caller:
        return Caller(self.token.identity, new_id(), self.address)

    def is_too_slow(self, backlog: int) -> bool:
        """Whether `backlog` bytes unread are too many. A snapshot it was just sent does not count against it."""
        most = MAX_BACKLOG if self.token.identity.account else MAX_GUEST_BACKLOG
        return backlog > most + self.snapshot_bytes
