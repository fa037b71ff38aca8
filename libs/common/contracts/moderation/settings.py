"""What a space's owner and moderators set of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Socket
from libs.common.contracts.schema import (
    FREE_JSON,
    ClientId,
    Reason,
    SpaceId,
    SpaceType,
    integer,
    shape,
    storable,
)

MAX_USERS = 10_000  # sockets that a space's owner may allow at once
MAX_SLOW_MODE = 21_600  # seconds between two messages of one person; six hours
MAX_SETTINGS_BYTES = 8192  # of `settings`, as JSON
AUDIO_MODES = ("ambient", "spatial", "stage", "announcement")  # services/realtime/voice.py says who hears whom


class FreeChannel(StrEnum):
    """The channels of a space that carry whatever a client likes, unseen by chat's filters: an owner can close each."""

    ENTITY_EVENTS = "entity-events"  # `entity-event`, and what plain WebSockets say with a type of their own
    NAF = "naf"  # networked-aframe's `send` and `broadcast`
    AVATARS = "avatars"  # `avatar_data`
    THINGS = "things"  # `thing-make`, `thing-hold`, `thing-set`
    POSE_ENTITIES = "pose-entities"  # `entities` of `aframe-update`


MOST_METRES = 1_000_000  # of a spawn point from the origin, on each axis
_FREE = {"additionalProperties": {"$ref": f"#/components/schemas/{FREE_JSON}"}}
_AUDIO_SHAPE: dict[str, Any] = {"required": ["mode"], "properties": {"mode": {"enum": list(AUDIO_MODES)}}}
AUDIO = storable(**_AUDIO_SHAPE)
_METRES = {"type": "number", "minimum": -MOST_METRES, "maximum": MOST_METRES}
_SPAWN_SHAPE: dict[str, Any] = {"required": ["x", "y", "z"], "properties": dict.fromkeys("xyz", _METRES)}
SPAWN = storable(**_SPAWN_SHAPE)
_CHANNELS = {"type": ["array", "null"], "items": {"enum": [str(channel) for channel in FreeChannel]}}
_SETTINGS_SHAPE: dict[str, Any] = {"properties": {"closed_channels": _CHANNELS}}
SETTINGS = storable(**_SETTINGS_SHAPE)


@dataclass(frozen=True)
class UpdateSettings:
    """Changes the settings that are given. `settings` is merged by its top-level names; a null removes a name.

    Of those names `closed_channels` is a list of `FreeChannel`s.
    """

    space_type: SpaceType
    space_id: SpaceId
    chat_enabled: bool | None = None
    voice_enabled: bool | None = None
    guests_allowed: bool | None = None
    max_users: Annotated[int, integer(1, MAX_USERS)] | None = None
    slow_mode_seconds: Annotated[int, integer(0, MAX_SLOW_MODE)] | None = None
    audio: dict[str, Any] | None = field(default=None, metadata=AUDIO)
    spawn: dict[str, Any] | None = field(default=None, metadata=SPAWN)
    settings: dict[str, Any] | None = field(default=None, metadata=SETTINGS)
    reason: Reason | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class SpaceSettings:
    """All settings of a space as they are now. `audio.mode` is one of `AUDIO_MODES`; `spawn` is in metres."""

    chat_enabled: bool
    voice_enabled: bool
    guests_allowed: bool
    max_users: int
    slow_mode_seconds: int
    audio: dict[str, Any] = field(metadata=shape(**_AUDIO_SHAPE, **_FREE))
    spawn: dict[str, Any] = field(metadata=shape(**_SPAWN_SHAPE, **_FREE))
    settings: dict[str, Any] = field(metadata=shape(**_SETTINGS_SHAPE, **_FREE))


@dataclass(frozen=True)
class SpaceUpdated:
    """The settings of a space changed; these are all of them."""

    space_type: str
    space_id: str
    settings: SpaceSettings
    updated_by: str


update_settings = Operation(
    "moderation.update_settings",
    "spaces_auth",
    UpdateSettings,
    SpaceSettings,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("PATCH", "/api/spaces/{space_type}/{space_id}/settings"),),
    summary="Change a space's settings; owner and moderators.",
)

settings_changed = Event(
    "moderation.settings_changed",
    SpaceUpdated,
    bindings=(Socket("space-updated"),),
    summary="The settings of a space changed.",
)
