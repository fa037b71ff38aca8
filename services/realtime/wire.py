"""What replicas say to each other on a space's Redis channel, as JSON tagged by `type`."""

from typing import Any

import msgspec

from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.presence import Position, UserJoined, UserLeft


class Member(msgspec.Struct):
    """A socket in a space; also the value in the `{space}:members` hash. `replica` is one process's life."""

    socket_id: str
    session_id: str
    replica: str
    subspace: str
    user_account: str | None
    guest_id: str | None
    guest: bool
    display_name: str
    position: Position
    avatar_data: Any
    joined_at: str

    def joined(self) -> UserJoined:
        return UserJoined(
            self.socket_id,
            self.user_account,
            self.display_name,
            self.guest,
            self.position,
            self.avatar_data,
            self.joined_at,
        )

    def left(self, reason: str, timestamp: str) -> UserLeft:
        return UserLeft(self.socket_id, self.user_account, reason, timestamp)


class Joined(msgspec.Struct, tag="joined"):
    """`version` counts the space's joins and leaves."""

    version: int
    member: Member


class Left(msgspec.Struct, tag="left"):
    version: int
    socket_id: str
    reason: str
    timestamp: str


class Logged(msgspec.Struct, tag="logged"):
    event: LoggedEvent


class PoseWire(msgspec.Struct, array_like=True):
    """`data` is the client's `entityData`, as JSON that nobody on the way has to read."""

    socket_id: str
    user_account: str | None
    data: msgspec.Raw


class Poses(msgspec.Struct, tag="poses"):
    """The poses of one replica's members in one subspace that changed since its last tick."""

    replica: str
    subspace: str
    poses: list[PoseWire]


type Message = Joined | Left | Logged | Poses

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Joined | Left | Logged | Poses).decode
decode_member = msgspec.json.Decoder(Member).decode
