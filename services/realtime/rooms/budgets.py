"""What one socket, account or address may have this replica do: so much in a time, and told when that is used up."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_REFUSED = 8  # seconds in a row in each of which more was refused as too much than was taken
RELAY_BURST = 4  # seconds of its bytes that one may relay at once


@dataclass(frozen=True, slots=True)
class Rates:
    """`signals` and `replayed` events a second, `relayed` bytes a second, `opened` spaces and subspaces a minute.

    0 is no limit.
    """

    signals: int
    replayed: int
    relayed: int
    opened: int

    def times(self, factor: float) -> "Rates":
        """Returns these rates multiplied."""
        signals, replayed, relayed, opened = self.signals, self.replayed, self.relayed, self.opened
        return Rates(*(round(rate * factor) for rate in (signals, replayed, relayed, opened)))


UNLIMITED = Rates(0, 0, 0, 0)


@dataclass(slots=True)
class Budget:
    """So many in each `seconds`."""

    most: int
    seconds: int = 1
    clock: Callable[[], float] = time.monotonic
    window: int = 0
    spent: int = 0

    def exceeded(self, cost: int = 1) -> bool:
        """Spends `cost` and returns whether that was too much."""
        self._begin_window()
        self.spent += cost
        return self.is_used_up

    @property
    def is_used_up(self) -> bool:
        """Returns whether the last cost was too much, in this time."""
        self._begin_window()
        return 0 < self.most < self.spent

    def has_spent(self, share: float) -> bool:
        """Returns whether that share of it is spent; spends nothing."""
        self._begin_window()
        return 0 < self.most * share <= self.spent

    def _begin_window(self) -> None:
        window = int(self.clock()) // self.seconds
        if window != self.window:
            self.window, self.spent = window, 0


@dataclass(slots=True)
class ByteBudget:
    """A token bucket: `rate` bytes a second, and `RELAY_BURST` times that at once."""

    rate: int
    clock: Callable[[], float] = time.monotonic
    filled_at: float = 0.0
    left: float = 0.0
    is_used_up: bool = False  # by the last size

    def exceeded(self, size: int) -> bool:
        """Spends `size` bytes, or returns True where they are not left."""
        if self.rate <= 0:
            return False
        self._fill()
        self.is_used_up = self.left < size
        if not self.is_used_up:
            self.left -= size
        return self.is_used_up

    def take_away(self, seconds: float) -> None:
        """Leaves nothing for so many seconds."""
        self._fill()
        self.left = min(self.left, -self.rate * seconds)

    def _fill(self) -> None:
        now = self.clock()
        if self.filled_at:
            self.left = min(self.left + (now - self.filled_at) * self.rate, self.rate * RELAY_BURST)
        else:
            self.left = self.rate * RELAY_BURST
        self.filled_at = now


@dataclass(slots=True)
class Insistence:
    """Notices one who is told that it is too much, and goes on and on.

    Who is refused less than is taken of it is merely hasty, such as a headset that sends at its own rate.
    """

    clock: Callable[[], float] = time.monotonic
    second: int = -1
    in_a_row: int = 0  # seconds before this one
    taken_now: int = 0
    refused_now: int = 0

    def taken(self) -> None:
        """Counts what was taken."""
        self._begin_second()
        self.taken_now += 1

    def refused(self) -> bool:
        """Counts a refusal. Returns whether in each of the last `MOST_REFUSED` seconds most was refused."""
        self._begin_second()
        self.refused_now += 1
        return self.in_a_row >= MOST_REFUSED - 1 and self.refused_now > self.taken_now

    def _begin_second(self) -> None:
        second = int(self.clock())
        if second == self.second:
            return
        insisted = second == self.second + 1 and self.refused_now > self.taken_now
        self.in_a_row = self.in_a_row + 1 if insisted else 0
        self.second, self.taken_now, self.refused_now = second, 0, 0


@dataclass(slots=True)
class Budgets:
    """The budgets of one socket, account or address."""

    rates: Rates
    signals: Budget = field(init=False)
    replayed: Budget = field(init=False)
    relayed: ByteBudget = field(init=False)
    opened: Budget = field(init=False)

    def __post_init__(self) -> None:
        self.signals = Budget(self.rates.signals)
        self.replayed = Budget(self.rates.replayed)
        self.relayed = ByteBudget(self.rates.relayed)
        self.opened = Budget(self.rates.opened, 60)

    @property
    def is_used_up(self) -> bool:
        """Returns whether any of them refused the last that was asked of it."""
        return self.signals.is_used_up or self.relayed.is_used_up or self.opened.is_used_up
