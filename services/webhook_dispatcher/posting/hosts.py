"""Which host a webhook goes to, and how many go to one in any second, whoever subscribed."""

import socket
from collections import deque
from collections.abc import Callable
from functools import lru_cache

from yarl import URL

SECOND = 1.0


class HostRate:
    """At most `rate` a host in any second; any number for 0. `clock` gives seconds."""

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._sent: dict[str, deque[float]] = {}  # the newest moments of each host

    def take(self, host: str) -> bool:
        """Returns whether one more may go to the host now, and counts it."""
        if not self._rate:
            return True
        moment = self._clock()
        sent = self._sent.setdefault(host, deque(maxlen=self._rate))
        if len(sent) == self._rate and moment - sent[0] < SECOND:
            return False
        sent.append(moment)
        return True

    def forget(self) -> None:
        """Drops the hosts that nothing went to for a second."""
        moment = self._clock()
        for host in [host for host, sent in self._sent.items() if moment - sent[-1] >= SECOND]:
            del self._sent[host]


@lru_cache(4096)
def host_of(url: str) -> str:
    """Returns the host of a webhook's URL as one name, however it is written there: `127.1` is `127.0.0.1`."""
    host = (URL(url).raw_host or "").removesuffix(".").lower()
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host
