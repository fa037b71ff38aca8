"""Counts what each address has under way."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from libs.common.addresses import limited


class UnderWay:
    """Addresses that have nothing under way take no room."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def of(self, address: str) -> int:
        """Returns how much the address has, or the other addresses that share its limits."""
        return self._counts[limited(address)]

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Counts one while the block lasts."""
        who = limited(address)
        self._counts[who] += 1
        try:
            yield
        finally:
            self._counts[who] -= 1
            if not self._counts[who]:
                del self._counts[who]
