"""What this replica knows of each of its sockets."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from libs.common.bus.base import Caller
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tokens import Token
from services.realtime.wire import Member

MAX_WAITING = 64  # commands of one socket that may wait for their turn


@dataclass(slots=True)
class Place:
    """Where a socket is. Events up to `after_seq` are in what it was told on entering.

    While it is entering, `early` keeps the durable events that arrive before its snapshot is sent.
    """

    space: SpaceKey
    member: Member
    after_seq: int = 0
    early: list[tuple[int, str, dict[str, Any]]] | None = field(default_factory=list)

    @property
    def subspace(self) -> str:
        return self.member.subspace


@dataclass(slots=True)
class Session:
    """A socket: who it is, and where. `turn` keeps its commands in the order in which they were sent."""

    sid: str
    namespace: str
    token: Token
    address: str
    place: Place | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0

    def caller(self) -> Caller:
        return Caller(self.token.identity, new_id(), self.address)
