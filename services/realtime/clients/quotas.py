"""Bounds what one account and one address take of this replica: sockets, signals, bytes and more."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from libs.common.addresses import limited
from libs.common.errors import RATE_LIMITED, PresenceError
from libs.common.tokens import Token
from services.realtime.rooms.budgets import Budgets, Rates
from services.realtime.rooms.client import MOST_SIGNALS
from services.realtime.settings import Settings

# A pose of 300 bytes twenty times a second is 6 KB/s. A line of 12 Mbit/s takes 1.5 MB/s; a school is one address.
OF_SOCKET = Rates(signals=MOST_SIGNALS, replayed=500, relayed=128 * 1024, opened=30)
OF_ACCOUNT = Rates(signals=4 * MOST_SIGNALS, replayed=1000, relayed=256 * 1024, opened=60)
OF_ADDRESS = Rates(signals=200 * MOST_SIGNALS, replayed=5000, relayed=1024 * 1024, opened=120)
IDLE_SECONDS = 60.0  # for which what was spent is remembered without a socket: longer than any budget's time


@dataclass(slots=True)
class Quota:
    """One account's, guest's or address' part. A `most` of 0 is no limit."""

    name: str
    most: int
    budgets: Budgets
    sockets: int = 0


class Quotas:
    """`take` at connecting, `give_back` once for each `take`. `clock` gives seconds."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        factor = settings.rate_limit_factor
        self._of_socket = OF_SOCKET.times(factor)
        self._of_account = round(settings.sockets_per_account * factor), OF_ACCOUNT.times(factor)
        self._of_address = round(settings.sockets_per_address * factor), OF_ADDRESS.times(factor)
        self._quotas: dict[str, Quota] = {}
        self._idle: dict[str, float] = {}  # of those without a socket: since when, in that order
        self._clock = clock

    def take(self, token: Token, address: str) -> list[Quota]:
        """Raises `rate_limited`. Whoever shows no token counts by address alone."""
        self._forget_idle()
        limits = {f"address:{limited(address)}": self._of_address}
        if token.identity.token_id:
            limits[token.identity.key] = self._of_account
        quotas = [self._quotas.get(name) or Quota(name, most, Budgets(rates)) for name, (most, rates) in limits.items()]
        for quota in quotas:
            if 0 < quota.most <= quota.sockets:
                raise PresenceError(RATE_LIMITED, "Too many connections; close another one first.")
        for quota in quotas:
            quota.sockets += 1
            self._quotas[quota.name] = quota
            self._idle.pop(quota.name, None)
        return quotas

    def budgets(self, quotas: list[Quota]) -> list[Budgets]:
        """Returns the budgets of a new socket with these quotas: its own first."""
        return [Budgets(self._of_socket), *(quota.budgets for quota in quotas)]

    def give_back(self, quotas: list[Quota]) -> None:
        for quota in quotas:
            quota.sockets -= 1
            if not quota.sockets:
                self._idle[quota.name] = self._clock()

    def _forget_idle(self) -> None:
        """Who closes the last socket and comes back has spent what it has spent."""
        oldest = self._clock() - IDLE_SECONDS
        while self._idle and next(iter(self._idle.values())) < oldest:
            name = next(iter(self._idle))
            del self._idle[name], self._quotas[name]
