"""Bounds the requests that are being answered at once, so that who is one too many is told so at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from libs.common.edge.under_way import UnderWay
from libs.common.errors import RATE_LIMITED, UNAVAILABLE, PresenceError

AGAIN_SECONDS = 1  # after which whoever was turned away may come again


class InHand:
    """At most `most` requests at once, of which an address has `each`; without `each` one may have all."""

    def __init__(self, most: int, each: int | None) -> None:
        self._most = most
        self._each = each or most
        self._all = 0
        self._by_address = UnderWay()

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Counts a request while the block lasts. Raises `rate_limited` and `unavailable`, with `Retry-After`."""
        if self._all >= self._most:
            raise PresenceError(UNAVAILABLE, "Too many requests at once.", {"retry_after": AGAIN_SECONDS})
        if self._by_address.of(address) >= self._each:
            text = f"More than {self._each} requests at once from one address."
            raise PresenceError(RATE_LIMITED, text, {"retry_after": AGAIN_SECONDS})
        self._all += 1
        try:
            with self._by_address.one(address):
                yield
        finally:
            self._all -= 1
