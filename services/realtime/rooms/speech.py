"""Decides what a member may say where a client can say anything.

Chat's filters see chat alone. A mute takes words and voice on every channel and leaves what moving about needs: poses,
one's own entities, networked-aframe's entity sync. An owner closes the channels that carry free data, one by one, by
`settings.closed_channels`; those who moderate pass.
"""

import re
from collections.abc import Iterator
from typing import Any

from libs.common.contracts.moderation import FreeChannel
from libs.common.errors import FORBIDDEN, MUTED, PresenceError
from libs.common.roles import MODERATING
from services.realtime.rooms.client import Place

_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}")


def require_words(place: Place) -> None:
    """Raises `muted` for a member that is."""
    if place.authorization.muted:
        raise PresenceError(MUTED)


def require_voice(place: Place) -> None:
    """Raises `muted`, or `forbidden` where voice is switched off."""
    require_words(place)
    if not place.authorization.settings["voice_enabled"] and place.authorization.role not in MODERATING:
        raise PresenceError(FORBIDDEN, "Voice is switched off in this space.")


def is_open(place: Place, channel: FreeChannel) -> bool:
    """Returns whether the owner lets this member use a channel."""
    closed = place.authorization.settings.get("settings", {}).get("closed_channels", ())
    return channel not in closed or place.authorization.role in MODERATING


def require_open(place: Place, channel: FreeChannel) -> None:
    """Raises `forbidden` for a channel that the owner closed."""
    if not is_open(place, channel):
        raise PresenceError(FORBIDDEN, f"The channel {channel.value} is closed in this space.")


def require_avatar(place: Place, avatar_data: Any) -> None:
    """Raises `forbidden` where avatars are closed, `muted` for a muted member's new text in one."""
    require_open(place, FreeChannel.AVATARS)
    if place.authorization.muted and not _words(avatar_data) <= _words(place.member.avatar_data):
        raise PresenceError(MUTED)


def avatar_on_entering(place: Place) -> Any:
    """Returns the avatar that a member may bring along: None for one that it may not show."""
    says_something = place.authorization.muted and _words(place.member.avatar_data)
    return place.member.avatar_data if is_open(place, FreeChannel.AVATARS) and not says_something else None


def _words(data: Any) -> set[str]:
    """Returns all texts of an avatar but its colours."""
    return {text for text in _texts(data) if not _COLOUR.fullmatch(text)}


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for name, value in data.items():
            yield name
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)
