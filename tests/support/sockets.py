"""Sockets without a network: they remember the bytes written to them, and read them as a client does."""

import struct
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from libs.common.contracts.members import Member
from libs.common.contracts.presence import Position
from libs.common.contracts.spaces import Authorization
from libs.common.identity import guest_identity
from libs.common.spaces import SpaceKey
from libs.common.tokens import Token
from services.realtime.rooms.client import Client, Place, PoseForm
from services.realtime.transport.engine import BINARY, DirectSocket

SPACE = SpaceKey("global", "lobby")


def unpack(record: bytes) -> tuple[float, ...]:
    """As a client reads it, from `compact.py`'s table alone: x, y, z, pitch, yaw, roll."""
    coordinates = [int.from_bytes(record[at : at + 3], "little", signed=True) / 1000 for at in (0, 3, 6)]
    (yaw,) = struct.unpack_from("<H", record, 9)
    both = int.from_bytes(record[11:14], "little")
    return (*coordinates, (both & 0xFFF) * 360 / 4096, yaw * 360 / 65536, (both >> 12) * 360 / 4096)


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Opcode and payload of each WebSocket frame."""
    found = []
    while data:
        size, start = data[1], 2
        if size == 126:
            (size,), start = struct.unpack("!H", data[2:4]), 4
        found.append((data[0] & 15, data[start : start + size]))
        data = data[start + size :]
    return found


def payloads(data: bytes) -> list[bytes]:
    """Split whole, unmasked text frames (RFC 6455, 5.2)."""
    found = []
    while data:
        assert data[0] == 0x81
        size, start = data[1], 2
        if size == 126:
            (size,), start = struct.unpack("!H", data[2:4]), 4
        elif size == 127:
            (size,), start = struct.unpack("!Q", data[2:10]), 10
        assert len(data) >= start + size
        found.append(data[start : start + size])
        data = data[start + size :]
    return found


class Engine:
    """Stands where a `DirectSocket` stands and remembers what is written."""

    def __init__(self, *, backlog: int = 0, polls: bool = False) -> None:
        self.transport = None if polls else object()
        self.backlog = backlog
        self.writes: list[bytes] = []
        self.queued: list[str] = []
        self.dropped = False
        self.farewell: list[bytes] = []
        self.is_busy = backlog > 0

    @property
    def is_listening(self) -> bool:
        return not self.dropped

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def write_parts(self, parts: Sequence[bytes]) -> None:
        self.writes.append(b"".join(parts))

    def queue_message(self, text: str) -> None:
        self.queued.append(text)
        self.backlog += len(text)

    def drop(self, farewell: bytes = b"") -> None:
        self.dropped = True
        self.farewell = payloads(farewell)


class Reader:
    """A client with `pose-compact` that believes what it is told; the poses here are whole millimetres."""

    def __init__(self, sid: str) -> None:
        self.names: dict[int, str] = {}
        self.engine = Engine()
        self.known: dict[str, Any] = {}
        self.client = Client(
            sid, "/", cast("DirectSocket", self.engine), Token(guest_identity(sid), 2**40), "127.0.0.1", []
        )
        member = Member(sid, sid, "r1", "main", None, sid, True, sid, Position(), None, "")
        self.client.enter(Place(SPACE, member, Authorization("guest", 0, 1, {}), form=PoseForm.COMPACT))
        self.client.arrive(seq=0)

    def read(self) -> None:
        for opcode, payload in frames(b"".join(self.engine.writes)):
            if opcode == BINARY:
                for at in range(0, len(payload), 16):
                    x, y, z = unpack(payload[at + 2 : at + 16])[:3]
                    self.known[self.names[int.from_bytes(payload[at : at + 2], "little")]] = (x, y, z)
            else:
                packet = msgspec.json.decode(payload[payload.index(b"[") :])[1]
                assert packet["poses"] == []
                self.names.update(packet["names"])
                for sid in (*packet["gone"], *packet.get("away", ())):
                    self.known.pop(sid, None)
        self.engine.writes.clear()
