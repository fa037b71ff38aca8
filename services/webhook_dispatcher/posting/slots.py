"""Shares out what one process may send side by side, so that nobody waits for an endpoint of somebody else.

The next slot goes to the account that holds the fewest; of one account's endpoints, to a first attempt before a retry,
and then to the endpoint that holds the fewest. Endpoints that gave no answer are probed: each holds one slot, and
together they hold a quarter.
"""

import contextlib
import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.webhook_dispatcher.posting.hosts import HostRate, host_of
from services.webhook_dispatcher.settings import Settings

PROBES = 4  # of so many slots one is for endpoints that are probed


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose a slot is. `host` is the name that the requests go to."""

    subscription_id: str
    account: str
    host: str
    is_probed: bool


def holder_of(subscription_id: str, account: str, url: str, *, is_probed: bool = False) -> Holder:
    """Returns whose slot a request to `url` takes."""
    return Holder(subscription_id, account, host_of(url), is_probed)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A subscription with deliveries that are due: first attempts, and retries; the longest due since `since`."""

    holder: Holder
    first: int
    retries: int
    since: datetime


@dataclass(slots=True)
class Share:
    """How many first attempts and retries of a subscription may be sent now."""

    endpoint: Endpoint
    first: int = 0
    retries: int = 0

    @property
    def taken(self) -> int:
        return self.first + self.retries

    @property
    def left(self) -> int:
        return self.endpoint.first + self.endpoint.retries - self.taken

    @property
    def is_at_retries(self) -> bool:
        return self.first == self.endpoint.first

    def take(self) -> None:
        if self.is_at_retries:
            self.retries += 1
        else:
            self.first += 1


type Reserve = Callable[[Sequence[Share]], None]


class Slots:
    """What is held, by subscription, account, host and by endpoints that are probed. `clock` gives seconds."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = settings.webhook_concurrency
        self._most = {
            "subscription": settings.webhook_concurrency_each,
            "account": settings.webhook_concurrency_account,
            "host": settings.webhook_concurrency_host,
            "probes": max(1, self._total // PROBES),
        }
        self._rate = HostRate(settings.webhook_rate_host, clock)
        self._held: Counter[tuple[str, str]] = Counter()
        self._probes: Counter[Holder] = Counter()
        self.in_use = 0

    @property
    def free(self) -> int:
        return self._total - self.in_use

    def try_take(self, holder: Holder) -> bool:
        """Takes a slot for one request outside the queue; returns False, and takes none, where it would have to wait.

        It is held to the same bounds as deliveries are: of its subscription, account and host.
        """
        self._rate.forget()
        if self.free <= 0 or not self._has_room(holder, self._held):
            return False
        self.take(holder)
        return True

    def take(self, holder: Holder) -> None:
        self.in_use += 1
        self._held.update(_keys(holder))
        if holder.is_probed:
            self._probes[holder] += 1

    def give_back(self, holder: Holder) -> None:
        self.in_use -= 1
        for key in _keys(holder):
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
        if holder.is_probed:
            self._probes[holder] -= 1
            self._probes += Counter()  # drops those that hold none

    @property
    def full(self) -> set[str]:
        """The subscriptions that hold all that they may."""
        held, most = self._held, self._most["subscription"]
        probed = {holder.subscription_id for holder in self._probes}
        return {id for (of, id), n in held.items() if of == "subscription" and (n >= most or id in probed)}

    def share_out(self, endpoints: Sequence[Endpoint], free: int) -> list[Share]:
        """Returns what each endpoint may send of what is due, `free` in all. Nothing is held by that yet."""
        self._rate.forget()
        held = self._held.copy()
        shares = [Share(endpoint) for endpoint in endpoints]
        turns = [(_turn(share, held), n) for n, share in enumerate(shares)]
        heapq.heapify(turns)
        while turns and free > 0:
            turn, n = heapq.heappop(turns)
            now = _turn(shares[n], held)
            if now != turn:  # its account was given something since
                heapq.heappush(turns, (now, n))
            elif self._has_room(shares[n].endpoint.holder, held):
                shares[n].take()
                held.update(_keys(shares[n].endpoint.holder))
                free -= 1
                if shares[n].left:
                    heapq.heappush(turns, (_turn(shares[n], held), n))
        return [share for share in shares if share.taken]

    @contextlib.contextmanager
    def reservation(self) -> Iterator[Reserve]:
        """Gives what holds the slots of shares until the end of the block: nobody else takes them meanwhile."""
        reserved: list[Holder] = []

        def reserve(shares: Sequence[Share]) -> None:
            for share in shares:
                for _ in range(share.taken):
                    self.take(share.endpoint.holder)
                    reserved.append(share.endpoint.holder)

        try:
            yield reserve
        finally:
            for holder in reserved:
                self.give_back(holder)

    def _has_room(self, holder: Holder, held: Counter[tuple[str, str]]) -> bool:
        if holder.is_probed and held["subscription", holder.subscription_id]:
            return False
        if any(held[key] >= self._most[key[0]] for key in _keys(holder)):
            return False
        return self._rate.take(holder.host)


def _keys(holder: Holder) -> list[tuple[str, str]]:
    keys = [("subscription", holder.subscription_id), ("account", holder.account), ("host", holder.host)]
    return [*keys, ("probes", "")] if holder.is_probed else keys


def _turn(share: Share, held: Counter[tuple[str, str]]) -> tuple[int, bool, int, datetime]:
    holder = share.endpoint.holder
    of_account, of_endpoint = held["account", holder.account], held["subscription", holder.subscription_id]
    return of_account, share.is_at_retries, of_endpoint, share.endpoint.since
