"""Writes to the clients of one subspace, with one write per client that a broadcast costs.

System calls are the limit of fan-out, so batching is the lever: a broadcast waits in `_pending` for the
end of the loop's turn, and one flush writes all that has gathered. After a flush of several that took T, its system
calls included, the next waits for min(T/4, 20 ms): under load batches grow before a core is full, and an idle room
waits for nothing.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from itertools import chain

import structlog

from libs.common.errors import TOO_SLOW, PresenceError
from libs.common.metrics import DELIVERIES, DROPPED
from services.realtime.rooms.client import Client
from services.realtime.rooms.unread import BLAMED_BYTES, Pending
from services.realtime.transport.packets import EventPacket

_log = structlog.get_logger(__name__)
LONGEST_CORK = 0.020  # seconds
REST = 0.25  # of the time a flush took: more leaves the core idle, less makes batches small again

_TOO_SLOW = EventPacket("space-error", PresenceError(TOO_SLOW).to_wire())


class Room:
    """`clients` by socket id, grouped by namespace, since its packets differ.

    `newest_snapshot` is the greatest `seq` that one of them was told on entering. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.newest_snapshot = 0
        self._clock = clock
        self._groups: dict[str, dict[str, Client]] = {}
        self._pending: list[tuple[EventPacket, str | None]] = []
        self._newcomers: dict[str, int] = {}  # of who came since the last flush: how much was pending then
        self._scheduled = False
        self._not_before = 0.0  # of `clock`

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    @property
    def clients(self) -> Collection[Client]:
        return list(chain.from_iterable(group.values() for group in self._groups.values()))

    def add(self, client: Client) -> None:
        """Lets a client hear the room; what was posted before is for the others only."""
        self._groups.setdefault(client.namespace, {})[client.sid] = client
        if self._pending:
            self._newcomers[client.sid] = len(self._pending)

    def remove(self, client: Client) -> None:
        """Takes a client out; it hears what was said while it was here, and nothing more."""
        if self._groups.get(client.namespace, {}).pop(client.sid, None):
            _write_rest(client, self._pending[self._newcomers.pop(client.sid, 0) :])

    def post(self, packet: EventPacket, sender: str | None = None) -> None:
        """Sends to everyone but its sender, in the order of the calls."""
        self._pending.append((packet, sender))
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_when_due)

    def _flush_when_due(self) -> None:
        wait = self._not_before - self._clock()
        if wait <= 0:
            self.flush()
        else:
            asyncio.get_running_loop().call_later(wait, self._flush_when_due)

    def flush(self) -> None:
        """Writes everything pending now."""
        pending, self._pending, self._scheduled = self._pending, [], False
        newcomers, self._newcomers = self._newcomers, {}
        if not pending:
            return
        started = self._clock()
        for namespace, group in self._groups.items():
            _write_group(namespace, group, pending, newcomers)
        for packet, _ in pending:
            DELIVERIES.labels(packet.event).inc(len(self))
        if len(pending) > 1:  # with one at a time nothing can gather, and a pause would only be idle
            asyncio.get_running_loop().call_soon(self._rest, started)

    def _rest(self, started: float) -> None:
        """Sets the pause in the loop's next turn, since uvloop makes the system calls at the end of the flush's."""
        ended = self._clock()
        self._not_before = ended + min(REST * (ended - started), LONGEST_CORK)


def _write_group(namespace: str, group: dict[str, Client], pending: Pending, newcomers: dict[str, int]) -> None:
    whole = b"".join([packet.frame(namespace) for packet, _ in pending])
    special = {sid for _, sid in pending if sid in group}.union(newcomers)
    for sid, client in list(group.items()):
        if sid in special:
            _write_rest(client, pending[newcomers.get(sid, 0) :])
        elif client.engine.backlog == 0 and client.engine.transport is not None:
            client.snapshot_bytes = 0
            client.unread.begin(pending)
            client.engine.write(whole)  # nearly always: the shortest way
        else:
            if client.engine.backlog == 0:
                client.snapshot_bytes = 0
            write(client, whole, pending)


def _write_rest(client: Client, pending: Pending) -> None:
    """Writes the part of `pending` that is for this client."""
    rest = [(packet, sender) for packet, sender in pending if sender != client.sid]
    if rest:
        write(client, b"".join([packet.frame(client.namespace) for packet, _ in rest]), rest)


def write(client: Client, data: bytes, packets: Pending) -> None:
    """Writes `data`, the frames of `packets`. A client that has too much unread is dropped, and only that one.

    If one sender made most of it and the client reads, the client stays: the packets of that sender are left out, and
    it pays.
    """
    if not client.engine.is_listening:
        return
    backlog = client.engine.backlog
    if backlog == 0:
        client.unread.begin(packets)
    else:
        client.unread.add(packets, client.namespace)
    if not client.is_too_slow(backlog):
        _put(client, data, packets)
    elif client.unread.is_stalled(backlog):
        _drop(client, backlog)
    elif (most := client.unread.most_of(backlog)) and not client.is_too_slow(backlog - most[1]):
        _write_without(client, packets, *most)
    else:
        _drop(client, backlog)


def _put(client: Client, data: bytes, packets: Pending) -> None:
    client.unread.written += len(data) if client.engine.backlog else 0
    if client.engine.transport is not None:
        client.engine.write(data)
        return
    for packet, _ in packets:
        client.engine.queue_message(packet.text(client.namespace))


def _write_without(client: Client, packets: Pending, sender: str, unread: int) -> None:
    if unread >= BLAMED_BYTES:
        client.blame(sender)
    rest = [(packet, said_by) for packet, said_by in packets if said_by != sender]
    if rest:
        _put(client, b"".join([packet.frame(client.namespace) for packet, _ in rest]), rest)


def _drop(client: Client, backlog: int) -> None:
    _log.warning("Socket dropped: too slow", sid=client.sid, backlog=backlog)
    DROPPED.labels("too_slow").inc()
    client.engine.drop(_TOO_SLOW.frame(client.namespace))
