"""A person who comes back goes on as they were: where they stood, as what, and with their microphone as it was.

That is so after a break, and from another network while the old connection has not died yet. What joining says anew
holds before that, and what the space allows now before both.
"""

import msgspec
from msgspec import UNSET, Raw

from libs.common.contracts.members import Member
from libs.common.contracts.moderation import FreeChannel
from libs.common.contracts.presence import AframeUpdate, JoinSpace, read_update, write_update
from libs.common.contracts.voice import VoiceState
from libs.common.errors import PresenceError
from services.realtime.rooms.client import Place
from services.realtime.rooms.speech import avatar_on_entering, is_open, require_voice


def inherit(place: Place, predecessor: Member, request: JoinSpace) -> None:
    """Gives a member that is entering the state of its person's other connection, but for what `request` says."""
    member = place.member
    if request.avatar_data is UNSET:
        member.avatar_data = predecessor.avatar_data
    member.voice = predecessor.voice
    member.pose = predecessor.pose
    if request.position is UNSET:
        member.position = predecessor.position
    elif member.pose is not UNSET:
        here = read_update(bytes(member.pose)).merged(AframeUpdate(position=request.position))
        member.pose = Raw(write_update(here))
    limit_to_rights(place)


def limit_to_rights(place: Place) -> None:
    """Takes from a member that is entering what it may not show here and now."""
    member = place.member
    member.avatar_data = avatar_on_entering(place)
    if member.voice and not _may_speak(place):
        member.voice = VoiceState(enabled=False, muted=True)
    muted = place.authorization.muted
    if member.pose is not UNSET and (muted or not is_open(place, FreeChannel.POSE_ENTITIES)):
        pose = read_update(bytes(member.pose))
        entities = pose.entities if muted and is_open(place, FreeChannel.POSE_ENTITIES) else UNSET
        member.pose = Raw(msgspec.json.encode(AframeUpdate(pose.position, pose.rotation, entities)))


def _may_speak(place: Place) -> bool:
    try:
        require_voice(place)
    except PresenceError:
        return False
    return True
