"""Bounds the connections of an address that are in no namespace yet: those are nobody's, and no quota counts them."""

from collections import Counter


class Handshakes:
    """`most` of 0 is no limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._addresses: dict[str, str] = {}  # by Engine.IO id
        self._open: Counter[str] = Counter()

    def begin(self, eio_sid: str, address: str) -> bool:
        """Counts a connection. Returns False where its address has too many already; it is not counted then."""
        if 0 < self._most <= self._open[address]:
            return False
        self._addresses[eio_sid] = address
        self._open[address] += 1
        return True

    def end(self, eio_sid: str) -> None:
        """Forgets a connection that is in a namespace now, or gone."""
        address = self._addresses.pop(eio_sid, None)
        if address is None:
            return
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]
