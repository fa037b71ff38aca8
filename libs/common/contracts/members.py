"""The record of a member in Redis (`cache.members`): written by realtime, read by spaces_auth."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from libs.common.contracts.presence import Position, UserJoined, UserLeft
from libs.common.contracts.voice import VoiceState


class Member(msgspec.Struct):
    """A socket in a space. `replica` is one process's life; `stay_id` is `session_id` in JSON.

    `person` is the key of an identity that can be proven again, else empty. `pose` is the last `entityData` of a
    connection that broke, and then of the one that takes its place.
    """

    socket_id: str
    stay_id: str = msgspec.field(name="session_id")
    replica: str
    subspace: str
    user_account: str | None
    guest_id: str | None
    guest: bool
    display_name: str
    position: Position
    avatar_data: Any
    joined_at: str
    role: str = "guest"
    voice: VoiceState | None = None
    person: str = ""
    pose: msgspec.Raw | UnsetType = UNSET

    @property
    def owner(self) -> str:
        """Whose everything is that this socket spawns: the person's, or its own where nobody can prove to be it."""
        return self.person or self.socket_id

    def joined(self) -> UserJoined:
        """Returns the announcement of its coming."""
        return UserJoined(
            self.socket_id,
            self.user_account,
            self.display_name,
            self.guest,
            self.position,
            self.avatar_data,
            self.joined_at,
            self.voice,
        )

    def left(self, reason: str, timestamp: str, successor: str | None = None) -> UserLeft:
        """Returns the announcement of its going; `successor` is the socket that has its entities now."""
        return UserLeft(self.socket_id, self.user_account, reason, timestamp, successor or UNSET)


encode_member = msgspec.json.Encoder().encode
decode_member = msgspec.json.Decoder(Member).decode
