"""Puts a space's durable events in `seq` order."""

from collections.abc import Iterable, Iterator

from libs.common.contracts.log import LoggedEvent


class EventOrder:
    """`seq` is the number of the last event that was taken. Events beyond a hole wait until the hole is filled."""

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        self._ahead: dict[int, LoggedEvent] = {}

    def add(self, events: Iterable[LoggedEvent]) -> None:
        """Keeps what was not taken yet."""
        self._ahead |= {event.seq: event for event in events if event.seq > self.seq}

    def take(self) -> Iterator[LoggedEvent]:
        """Yields the events up to the next hole, each once."""
        while event := self._ahead.pop(self.seq + 1, None):
            self.seq = event.seq
            yield event

    def skip_to(self, seq: int) -> None:
        """Gives up the events up to `seq` that were not taken."""
        self.seq = max(self.seq, seq)
        self._ahead = {number: event for number, event in self._ahead.items() if number > self.seq}

    @property
    def head(self) -> int:
        """The highest number that is known of: beyond `seq` only where there is a hole."""
        return max(self._ahead, default=self.seq)
