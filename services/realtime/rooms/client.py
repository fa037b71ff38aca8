"""A socket of this replica: who it is, where it is, and what it may still send."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from libs.common.addresses import limited
from libs.common.bus.base import Caller
from libs.common.contracts.members import Member
from libs.common.contracts.spaces import Authorization
from libs.common.errors import FORBIDDEN, RATE_LIMITED, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tokens import Token
from services.realtime.rooms.budgets import Budget, Budgets, Insistence
from services.realtime.rooms.unread import Unread
from services.realtime.transport.engine import DirectSocket
from services.realtime.transport.packets import EventPacket

MAX_HELD = 1024  # packets of others that wait for a client that is entering, beside those that last
MAX_WAITING = 64  # commands of one socket that may wait for their turn
MOST_SIGNALS = 100  # a second, of one socket
POSES_SHARE = 0.5  # of the signals may be poses: the latest counts, so of a headset's 90 a second some are left out
MOST_REMOVALS = 100  # a second, of one socket's networked-aframe entities, beyond its other budgets
MOST_JOINS = 5  # a second: everybody in the space is told of each, and it is kept
BLAME_SECONDS = 2.0  # without relaying, for who makes others leave too much unread
MAX_BACKLOG = 1024 * 1024  # bytes an account's socket may leave unread
MAX_GUEST_BACKLOG = 64 * 1024  # and a guest's
MAX_POLLED_BACKLOG = 256 * 1024  # and a guest's that polls: all poses of a large room wait for its next poll


class PoseForm(Enum):
    """How a client is told of poses: events, or by the features `pose-batch` and `pose-compact`."""

    LEGACY = "aframe-update"
    BATCH = "pose-batch"
    COMPACT = "pose-compact"

    @classmethod
    def of(cls, features: Sequence[str]) -> "PoseForm":
        """Returns the best form that was asked for."""
        return next((form for form in (cls.COMPACT, cls.BATCH) if form.value in features), cls.LEGACY)


class ClientState(Enum):
    """The picture of all states and of who owns what in each is in `membership/entering.py`."""

    OUTSIDE = "outside"  # in no space
    ENTERING = "entering"  # has a place; its snapshot is not sent yet, and durable events gather for it
    INSIDE = "inside"  # hears the room
    DROPPED = "dropped"  # the connection broke, and this client never comes back


_NEXT = {
    ClientState.OUTSIDE: {ClientState.ENTERING, ClientState.DROPPED},
    ClientState.ENTERING: {ClientState.INSIDE, ClientState.OUTSIDE, ClientState.DROPPED},
    ClientState.INSIDE: {ClientState.OUTSIDE, ClientState.DROPPED},
    ClientState.DROPPED: set(),
}


@dataclass(slots=True)
class Place:
    """A client's part in a space. Durable events up to `after_seq` are in its snapshot.

    `gathered` holds the durable events that arrive while it is entering, each with its `seq`; `held` what others say
    to it meanwhile, each with the socket that said it.
    """

    space: SpaceKey
    member: Member
    authorization: Authorization
    form: PoseForm = PoseForm.LEGACY
    knows_numbers: bool = False  # of `pose-compact`: a client that polls is told of none
    wants_interest: bool = False  # the feature `interest`: near members often, far ones seldom
    speaks_naf: bool = False  # it came through networked-aframe's `joinRoom`
    after_seq: int = 0
    gathered: list[tuple[int, EventPacket]] = field(default_factory=list)
    replaces: str | None = None  # the connection of the same person whose place it took
    told_of_poses: set[str] = field(default_factory=set)  # codes of what its poses were taken without
    held: list[tuple[EventPacket, str | None]] = field(default_factory=list)

    @property
    def subspace(self) -> str:
        return self.member.subspace

    def hold(self, packet: EventPacket, sender: str | None) -> None:
        """Keeps what others say until the client was sent its snapshot."""
        if packet.lasts or len(self.held) < MAX_HELD:
            self.held.append((packet, sender))


@dataclass(slots=True)
class Client:
    """A socket. `turn` keeps its commands in the order in which they were sent.

    `enter`, `arrive`, `step_out` and `drop` are its only changes of state; each raises `RuntimeError` where the state
    does not allow it. It has a place while it is entering or inside.
    """

    sid: str
    namespace: str
    engine: DirectSocket
    token: Token
    address: str
    budgets: Sequence[Budgets]  # its own, then its account's and its address'
    blame: Callable[[str], None] = lambda _: None  # has a socket pay for what it made this client leave unread
    state: ClientState = ClientState.OUTSIDE
    place: Place | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0  # commands
    snapshot_bytes: int = 0  # of the last snapshot, until a broadcast found that all was taken
    insistence: Insistence = field(default_factory=Insistence)
    removals: Budget = field(default_factory=partial(Budget, MOST_REMOVALS))
    unread: Unread = field(default_factory=Unread)
    home: str = field(init=False)  # the address as limits count it

    def __post_init__(self) -> None:
        self.home = limited(self.address)

    @property
    def is_inside(self) -> bool:
        return self.state is ClientState.INSIDE

    def enter(self, place: Place) -> None:
        """Takes a place; from now on durable events gather in it."""
        self._become(ClientState.ENTERING)
        self.place = place

    def arrive(self, seq: int) -> list[EventPacket]:
        """Hears the room from now on. Returns what gathered after its snapshot of `seq`."""
        self._become(ClientState.INSIDE)
        place = self.placed()
        gathered, place.gathered = place.gathered, []
        place.after_seq = seq
        return [packet for number, packet in gathered if number > seq]

    def placed(self) -> Place:
        """Returns its place. Raises `forbidden` for a client that has none."""
        if self.place is None:
            raise PresenceError(FORBIDDEN, "Join a space first.")
        return self.place

    def inside(self) -> Place:
        """Returns the place of a client that is inside. Raises `forbidden` for any other."""
        if not self.is_inside:
            raise PresenceError(FORBIDDEN, "Join a space first.")
        return self.placed()

    def step_out(self) -> Place | None:
        """Gives up its place and returns it; None for a client that has none."""
        return self._give_up(ClientState.OUTSIDE) if self.place else None

    def drop(self) -> Place | None:
        """Gives up its place, if it has one, for good."""
        return None if self.state is ClientState.DROPPED else self._give_up(ClientState.DROPPED)

    def _give_up(self, state: ClientState) -> Place | None:
        self._become(state)
        place, self.place = self.place, None
        return place

    def _become(self, state: ClientState) -> None:
        if state not in _NEXT[self.state]:
            raise RuntimeError(f"{self.sid} is {self.state.value} and cannot become {state.value}")
        self.state = state

    def exceeds_signals(self, cost: int = 1) -> bool:
        """Spends so many signals and returns whether that was too much."""
        return any(budgets.signals.exceeded(cost) for budgets in self.budgets)

    def may_remove(self) -> bool:
        """Spends one of the removals that it may say though its budgets are used up."""
        return not self.removals.exceeded()

    def exceeds_poses(self) -> bool:
        """Spends a signal for a pose, and returns whether that was too much beside what cannot be left out."""
        return self.budgets[0].signals.has_spent(POSES_SHARE) or self.exceeds_signals()

    def exceeds_replayed(self, events: int) -> bool:
        """Spends so many events that are to be sent again, and returns whether that was too much."""
        return any(budgets.replayed.exceeded(events) for budgets in self.budgets)

    def exceeds_relayed(self, size: int, free: int = 0) -> bool:
        """Spends so many bytes that others are to be sent, and returns whether that was too much.

        The first `free` of them cost the account and the address nothing.
        """
        own, *shared = self.budgets
        return own.relayed.exceeded(size) or (
            size > free and any(budgets.relayed.exceeded(size - free) for budgets in shared)
        )

    def exceeds_opened(self) -> bool:
        """Counts a space or subspace that nobody is in here, and returns whether that was one too many."""
        return any(budgets.opened.exceeded() for budgets in self.budgets)

    def insists(self) -> bool:
        """Counts something that was refused as too much; returns whether this client goes on and on.

        What its account or address has used up is no fault of this one.
        """
        return self.budgets[0].is_used_up and self.insistence.refused()

    def pay_for_backlog(self) -> None:
        """Takes away what it may relay for `BLAME_SECONDS`."""
        self.budgets[0].relayed.take_away(BLAME_SECONDS)

    def spend_join(self) -> None:
        """Counts a joining as many signals. Raises `rate_limited`."""
        if self.exceeds_signals(MOST_SIGNALS // MOST_JOINS):
            raise PresenceError(RATE_LIMITED, f"At most {MOST_JOINS} joins a second.")

    @property
    def person(self) -> str:
        """The key of an identity that the next connection can prove again; else empty."""
        return self.token.identity.key if self.token.identity.token_id else ""

    def caller(self) -> Caller:
        """Returns who asks, for a call on the bus with a request id of its own."""
        return Caller(self.token.identity, new_id(), self.address)

    def is_too_slow(self, backlog: int) -> bool:
        """Returns whether `backlog` bytes unread are too many; the snapshot that it was just sent does not count."""
        most_of_guest = MAX_GUEST_BACKLOG if self.engine.transport else MAX_POLLED_BACKLOG
        most = MAX_BACKLOG if self.token.identity.account else most_of_guest
        return backlog > most + self.snapshot_bytes


type Handler = Callable[[Client, Any], Awaitable[dict[str, Any]]]
"""Carries out a client's signal; returns what its ack says beside `ok`."""
