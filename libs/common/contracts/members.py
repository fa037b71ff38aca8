"""The record of a member in Redis (`cache.members`): written by realtime, read by spaces_auth."""

from typing import Any

import msgspec

from libs.common.contracts.presence import Position, UserJoined, UserLeft
from libs.common.contracts.voice import VoiceState


class Member(msgspec.Struct):
    """A socket in a space. `replica` is one process's life; `stay_id` is `session_id` in JSON."""

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

    def left(self, reason: str, timestamp: str) -> UserLeft:
        """Returns the announcement of its going."""
        return UserLeft(self.socket_id, self.user_account, reason, timestamp)


encode_member = msgspec.json.Encoder().encode
decode_member = msgspec.json.Decoder(Member).decode
