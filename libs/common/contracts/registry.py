"""The records that the wire is made of: operations, events, signals, and where each is bound.

A family module (`chat.py`, `spaces.py`, ...) declares records; `Registry` is the set of them that a
process runs with. The gateway's routes, the socket's commands, the fan-out, the webhook planner,
OpenAPI and AsyncAPI are all derived from these rows, so a new operation is declared here once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_NO_RENAME: Mapping[str, str] = {}


class Access(StrEnum):
    """The demand that an edge makes before it passes a call on; the service decides the rest."""

    UNSEEN = "unseen"  # anyone, and no token is looked at: a bad one keeps nobody from getting a good one
    ANYONE = "anyone"
    ACCOUNT = "account"
    OPERATOR = "operator"
    INTERNAL = "internal"  # never reachable from outside: has no binding


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` in any `seconds`, counted per identity (per address for those without a token).

    What makes tokens is `per_address` for everyone, or each token made would bring a limit of its own. There
    `per_account` bounds those of the calls that name one account, where the request names one: many people log in from
    one house, but none of them so often.
    """

    calls: int
    seconds: int
    per_address: bool = False
    per_account: int | None = None


@dataclass(frozen=True, slots=True)
class Http:
    """A REST route. `{space_id}` in `path` may hold a slash, raw or percent-encoded.

    With a `media_type` the answer is the reply's field `text` as it is, instead of the reply as JSON.
    """

    method: str
    path: str
    status: int = 200
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Socket:
    """A Socket.IO event name. `rename` maps the client's field names to ours (clients speak camelCase)."""

    event: str
    rename: Mapping[str, str] = field(default_factory=lambda: _NO_RENAME)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A subscriber's event name. `rename` maps payload fields to names in `data` of the body, without those `without`.

    One `for_moderators` goes to the space's owner, moderators and operators only.
    """

    event: str
    rename: Mapping[str, str] = field(default_factory=lambda: _NO_RENAME)
    without: tuple[str, ...] = ()
    for_moderators: bool = False


@dataclass(frozen=True, slots=True)
class Shared:
    """Says that what one caller without a token is told may be told to all of them, for a second at most.

    `ended_by` are beginnings of names, of events and of operations that write: after one of them in the space that was
    asked about, in any space where none was, the answer may be another. What changes access always ends it.
    """

    ended_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation[Request, Reply]:
    """A question or command, answered by exactly one service over the bus."""

    name: str
    service: str
    request: type[Request]
    reply: type[Reply]
    access: Access
    limit: Limit
    writes: bool = False
    bindings: tuple[Http | Socket, ...] = ()
    summary: str = ""
    timeout: float = 5.0  # seconds a caller waits for the answer, unless it says otherwise
    shared: Shared | None = None  # for nobody else, unless it says so


@dataclass(frozen=True, slots=True)
class Event[Payload]:
    """A durable fact of one space: a row of the log, published with its `seq`."""

    name: str
    payload: type[Payload]
    bindings: tuple[Socket | Webhook, ...] = ()
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Signal[Payload]:
    """Something ephemeral on a socket. `sent_by` is "client" or "server"; it may be lost.

    `reply` is what the ack of a client's has beside `ok`; None where that is all.
    """

    name: str
    payload: type[Payload]
    sent_by: str
    summary: str = ""
    reply: type | None = None


type Record = Operation[Any, Any] | Event[Any] | Signal[Any]


class Registry:
    """The records a process knows, by name. Raises `ValueError` for a name declared twice."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._operations: dict[str, Operation[Any, Any]] = {}
        self._events: dict[str, Event[Any]] = {}
        self.signals: list[Signal[Any]] = []
        for record in records:
            self._add(record)

    def _add(self, record: Record) -> None:
        if isinstance(record, Signal):
            self.signals.append(record)
            return
        known: dict[str, Any] = self._operations if isinstance(record, Operation) else self._events
        if record.name in known:
            raise ValueError(f"{record.name} is declared twice")
        known[record.name] = record

    @property
    def operations(self) -> Iterator[Operation[Any, Any]]:
        return iter(self._operations.values())

    @property
    def events(self) -> Iterator[Event[Any]]:
        return iter(self._events.values())

    @property
    def records(self) -> Iterator[Record]:
        """Everything, so that a registry can be made from another and a few more."""
        yield from self._operations.values()
        yield from self._events.values()
        yield from self.signals

    def event(self, name: str) -> Event[Any] | None:
        """The event of that name; None for one that a newer version publishes."""
        return self._events.get(name)

    def bound[Binding](self, kind: type[Binding]) -> Iterator[tuple[Operation[Any, Any] | Event[Any], Binding]]:
        """Every (record, binding) of one kind, in order of declaration."""
        records: list[Operation[Any, Any] | Event[Any]] = [*self._operations.values(), *self._events.values()]
        for record in records:
            for binding in record.bindings:
                if isinstance(binding, kind):
                    yield record, binding
