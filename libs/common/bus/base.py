"""The bus, in words: what a caller, a server and a consumer may count on.

* **Calls** are answered by one of the service's processes, or end in `unavailable` when the deadline
  passes; never a hang. A call may be carried out more than once (its process may die after the work
  and before the answer), so every command carries a client-made id that makes it idempotent. A process that
  does not know an operation yet, or no more, leaves it to others of its service: the call is asked again.
* **Events** are published at least once and delivered at least once to each consumer group, in no
  guaranteed order: consumers deduplicate by `LoggedEvent.id` and order by `seq`. `publish` returns
  when every consumer group's queue has the event on disk; it raises `BusUnavailable` otherwise, and
  the log will publish it again. Events that are published together travel together.
* A consumer's handler acknowledges by returning. `Reject` dead-letters the event at once. A temporary
  failure is tried again, with backoff, for as long as it lasts; any other is tried a few times and
  then dead-lettered. Events that came together and fail are tried again one by one, so that none
  pays for another.
* Events whose shape this version does not know are kept, and given out again every `topology.LATER_SECONDS`, until a
  process can read them or `topology.KEPT_SECONDS` are over; then they are dead. `again.py` brings the dead back.

`rabbit.py` and `memory.py` implement this; `tests/conformance` holds both to it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Operation
from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.identity import Identity


class BusUnavailable(PresenceError):
    """The bus cannot take this now, or nobody answered in time."""

    def __init__(self, text: str = "") -> None:
        super().__init__(UNAVAILABLE, text)


class Reject(Exception):
    """Raised by a consumer: this event can never be handled. It goes to the dead-letter queue."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity that asks, its address, and the request id, which appears in every log line on the way."""

    identity: Identity
    request_id: str
    address: str = ""

    def to_wire(self) -> dict[str, Any]:
        return {"identity": self.identity.to_wire(), "request_id": self.request_id, "address": self.address}

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> "Caller":
        return cls(Identity.from_wire(data["identity"]), data["request_id"], data["address"])


@dataclass(frozen=True, slots=True)
class ForAll[Reply]:
    """A handler's reply that every caller without a token would have got in this moment."""

    reply: Reply


def told_to_all[Reply](caller: Caller, reply: Reply, *, alike: bool = True) -> Reply | ForAll[Reply]:
    """Returns the reply as one for all, if its caller showed no token and those who show none are `alike`."""
    return ForAll(reply) if caller.identity.nobody and alike else reply


@dataclass(frozen=True, slots=True)
class Written:
    """A reply as the JSON object that the service wrote: nobody has read it since. `for_all`: see `ForAll`."""

    json: bytes
    for_all: bool = False


type Handler[Request, Reply] = Callable[[Caller, Request], Awaitable[Reply | ForAll[Reply]]]
type Consumer = Callable[[Sequence[LoggedEvent]], Awaitable[None]]


class Bus(Protocol):
    """Declare with `serve` and `subscribe` first, then `start`."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Takes no new work, finishes what was taken, then closes."""

    async def check(self) -> None:
        """Raises `BusUnavailable` that says why, unless the broker takes messages now."""

    @property
    def ready(self) -> bool:
        """Returns whether it is connected, with every declared server and consumer attached."""

    def serve[Request, Reply](self, operation: Operation[Request, Reply], handler: Handler[Request, Reply]) -> None:
        """Answers `operation` in this process."""

    def subscribe(self, group: str, consumer: Consumer, *, concurrency: int = 32) -> None:
        """Receives every event as a member of `group` (a row of `topology.EVENT_GROUPS`).

        `consumer` is given the events that were published together; `concurrency` such deliveries run at a time.
        """

    async def call[Request, Reply](
        self, operation: Operation[Request, Reply], request: Request, caller: Caller, *, timeout: float | None = None
    ) -> Reply:
        """Asks and waits, for `operation.timeout` seconds if not told otherwise.

        Raises the answering service's `PresenceError`, or `BusUnavailable`.
        """

    async def call_for_json[Request](
        self, operation: Operation[Request, Any], request: Request, caller: Caller, *, timeout: float | None = None
    ) -> Written:
        """Asks likewise, and returns the reply as it was written."""

    async def publish(self, *events: LoggedEvent) -> None:
        """Hands events of one name to every consumer group, durably: all or none. Raises `BusUnavailable`."""
